/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors in files: TensorProto, .npy and .npz, there and back, and broken. */
#include <zlib.h>

#include "shared/onnx/tensor_data.h"
#include "tests/unit/onnx/maker.h"

static char folder[] = "/tmp/ooo-tensor-XXXXXX";
static char path[64];

static int set_up(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/file", folder);
	return 0;
}

static int tear_down(void **state)
{
	unlink(path);
	return rmdir(folder);
}

static void write_file(const void *data, size_t bytes)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, bytes, f), bytes);
	fclose(f);
}

static size_t read_file(uint8_t *data, size_t max)
{
	FILE *f = fopen(path, "rb");
	size_t bytes;

	assert_non_null(f);
	bytes = fread(data, 1, max, f);
	fclose(f);
	return bytes;
}

static void assert_same(const struct ooo_onnx_tensor *a, const struct ooo_onnx_tensor *b)
{
	assert_int_equal(a->dtype, b->dtype);
	assert_int_equal(a->rank, b->rank);
	for (int i = 0; i < a->rank; i++)
		assert_int_equal(a->dims[i], b->dims[i]);
	assert_int_equal(a->nbytes, b->nbytes);
	if (a->nbytes)
		assert_memory_equal(a->data, b->data, a->nbytes);
}

/* A tensor of every type with some elements, through a writer and a reader. */
static void round_trip(int (*writer)(const char *, const struct ooo_onnx_tensor *),
		       int (*reader)(const char *, struct ooo_onnx_tensor *), bool has_bf16)
{
	uint8_t data[8 * 6];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = i & 1;
	for (int dtype = OOO_FP32; dtype < OOO_DTYPE_LIMIT; dtype++) {
		struct ooo_onnx_tensor t = { .dtype = (enum ooo_dtype)dtype,
					     .rank = 2,
					     .dims = { 2, 3 },
					     .data = data,
					     .nbytes = 6 * ooo_dtype_bytes((enum ooo_dtype)dtype) };
		struct ooo_onnx_tensor back;

		if (dtype == OOO_TF32) /* of no tensor */
			continue;
		if (dtype == OOO_BF16 && !has_bf16) {
			assert_int_equal(writer(path, &t), -EOPNOTSUPP);
			continue;
		}
		for (t.rank = 0; t.rank <= 2; t.rank++) {
			t.dims[0] = t.rank == 1 ? 6 : 2;
			t.nbytes = (t.rank ? 6 : 1) * ooo_dtype_bytes(t.dtype);
			assert_int_equal(writer(path, &t), 0);
			assert_int_equal(reader(path, &back), 0);
			assert_same(&t, &back);
			ooo_onnx_tensor_free(&back);
		}
		t.rank = 1;
		t.dims[0] = 0;
		t.nbytes = 0;
		assert_int_equal(writer(path, &t), 0);
		assert_int_equal(reader(path, &back), 0);
		assert_same(&t, &back);
		ooo_onnx_tensor_free(&back);
	}
}

static void test_pb_round_trip(void **state)
{
	round_trip(ooo_onnx_write_pb, ooo_onnx_read_pb, true);
}

static void test_npy_round_trip(void **state)
{
	round_trip(ooo_onnx_write_npy, ooo_onnx_read_npy, false);
}

static void test_wrong_tensors_are_not_written(void **state)
{
	float data[4] = { 0 };
	struct ooo_onnx_tensor t = {
		.dtype = OOO_FP32, .rank = 1, .dims = { 4 }, .data = data, .nbytes = 12
	};

	assert_int_equal(ooo_onnx_write_npy(path, &t), -EINVAL);
	t.nbytes = 16;
	t.rank = 9;
	assert_int_equal(ooo_onnx_write_pb(path, &t), -EINVAL);
	t.rank = 1;
	assert_int_equal(ooo_onnx_write_pb("/nowhere/at/all", &t), -ENOENT);
	assert_non_null(strstr(ooo_onnx_error(), "/nowhere/at/all"));
}

static void from_pb(const Onnx__TensorProto *pb, int want_rc, const char *want_error,
		    const void *want, size_t bytes)
{
	struct ooo_onnx_tensor t;
	bool owned;
	int rc = tensor_from_pb(pb, "it", &t, &owned);

	assert_int_equal(rc, want_rc);
	if (rc) {
		assert_non_null(strstr(ooo_onnx_error(), want_error));
		assert_false(owned);
		return;
	}
	assert_int_equal(t.nbytes, bytes);
	assert_memory_equal(t.data, want, bytes);
	if (owned)
		free(t.data);
}

static void test_typed_lists(void **state)
{
	int32_t ints[] = { 0, 1, 127 }, halves[] = { 0x3c00, 0xffff };
	Onnx__TensorProto *pb;
	float floats[] = { 1, 2, 3 };

	maker_used = 0;
	pb = maker_tensor("it", FLOAT, DIMS(3), NULL, 0);
	pb->has_raw_data = 0;
	from_pb(pb, -EINVAL, "needs 3 elements but it has 0", NULL, 0);
	pb->float_data = floats;
	pb->n_float_data = 3;
	from_pb(pb, 0, NULL, floats, sizeof(floats));
	pb->has_raw_data = 1;
	pb->raw_data.len = sizeof(floats);
	pb->raw_data.data = (uint8_t *)floats;
	from_pb(pb, -EINVAL, "data twice", NULL, 0);

	pb = maker_tensor("it", HALF, DIMS(2), NULL, 0);
	pb->int32_data = halves;
	pb->n_int32_data = 2;
	pb->has_raw_data = 0;
	from_pb(pb, 0, NULL, (uint16_t[]){ 0x3c00, 0xffff }, 4);
	halves[1] = 0x10000;
	from_pb(pb, -EINVAL, "out of range for fp16", NULL, 0);

	pb = maker_tensor("it", ONNX__TENSOR_PROTO__DATA_TYPE__INT8, DIMS(3), NULL, 0);
	pb->int32_data = ints;
	pb->n_int32_data = 3;
	pb->has_raw_data = 0;
	from_pb(pb, 0, NULL, (int8_t[]){ 0, 1, 127 }, 3);
	pb->data_type = BOOL;
	from_pb(pb, -EINVAL, "out of range for bool", NULL, 0);
}

static void test_bad_tensors(void **state)
{
	Onnx__StringStringEntryProto entry = ONNX__STRING_STRING_ENTRY_PROTO__INIT, *entries[1];
	Onnx__TensorProto *pb;

	maker_used = 0;
	pb = maker_tensor("it", FLOAT, DIMS(3), "12345678", 8);
	from_pb(pb, -EINVAL, "needs 12 bytes but it has 8", NULL, 0);
	pb->dims[0] = -3;
	from_pb(pb, -EINVAL, "negative or too large", NULL, 0);
	pb = maker_tensor("it", FLOAT, DIMS(1ll << 33, 1ll << 33), "12345678", 8);
	from_pb(pb, -EINVAL, "negative or too large", NULL, 0);
	pb = maker_tensor("it", STRING, DIMS(1), NULL, 0);
	from_pb(pb, -EOPNOTSUPP, "type STRING", NULL, 0);
	pb->data_type = 77;
	from_pb(pb, -EOPNOTSUPP, "an unknown type", NULL, 0);
	pb = maker_tensor("it", FLOAT, DIMS(1, 1, 1, 1, 1, 1, 1, 1, 1), "1234", 4);
	from_pb(pb, -EOPNOTSUPP, "9 axes", NULL, 0);
	pb = maker_tensor("it", FLOAT, DIMS(1), "1234", 4);
	entries[0] = &entry;
	pb->n_external_data = 1;
	pb->external_data = entries;
	from_pb(pb, -EOPNOTSUPP, "in another file", NULL, 0);
	pb = maker_tensor("it", BOOL, DIMS(3), "\0\1\7", 3);
	from_pb(pb, 0, NULL, "\0\1\1", 3); /* any byte but 0 is true */
}

static void test_npy_from_elsewhere(void **state)
{
	static const char fortran[] =
		"\x93NUMPY\1\0\0\0{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3), }"
		"            \n";
	int32_t columns[] = { 1, 4, 2, 5, 3, 6 }, rows[] = { 1, 2, 3, 4, 5, 6 };
	uint8_t file[256];
	struct ooo_onnx_tensor t;
	size_t head = sizeof(fortran) - 1;

	memcpy(file, fortran, head);
	file[8] = (uint8_t)(head - 10);
	memcpy(file + head, columns, sizeof(columns));
	write_file(file, head + sizeof(columns));
	assert_int_equal(ooo_onnx_read_npy(path, &t), 0);
	assert_int_equal(t.rank, 2);
	assert_memory_equal(t.data, rows, sizeof(rows));
	ooo_onnx_tensor_free(&t);

	write_file(file, head + sizeof(columns) - 1);
	assert_int_equal(ooo_onnx_read_npy(path, &t), -EINVAL);
	memcpy(strstr((char *)file + 10, "<i4"), ">i4", 3);
	write_file(file, head + sizeof(columns));
	assert_int_equal(ooo_onnx_read_npy(path, &t), -EOPNOTSUPP);
	for (size_t cut = 0; cut < head; cut++) {
		write_file(file, cut);
		assert_true(ooo_onnx_read_npy(path, &t) < 0);
		assert_null(t.data);
	}
}

/* ---- archives: written here, since only reading is the library's ------------------------------ */

struct zip {
	uint8_t data[4096], directory[1024];
	size_t bytes, directory_bytes;
	unsigned nr;
};

static void put(uint8_t *to, uint32_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		to[i] = (uint8_t)(v >> 8 * i);
}

static size_t deflated(uint8_t *to, size_t max, const uint8_t *data, size_t bytes)
{
	z_stream z = { 0 };

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (uint8_t *)data;
	z.avail_in = (uInt)bytes;
	z.next_out = to;
	z.avail_out = (uInt)max;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

static void zip_add(struct zip *z, const char *name, const uint8_t *data, size_t bytes, bool pack)
{
	uint8_t *local = z->data + z->bytes, *entry = z->directory + z->directory_bytes;
	size_t name_bytes = strlen(name), packed = bytes;
	uint8_t *body = local + 30 + name_bytes;

	if (pack)
		packed = deflated(body, 1024, data, bytes);
	else
		memcpy(body, data, bytes);
	memset(local, 0, 30);
	memset(entry, 0, 46);
	memcpy(local, "PK\3\4", 4);
	put(local + 26, (uint32_t)name_bytes, 2);
	memcpy(local + 30, name, name_bytes);
	memcpy(entry, "PK\1\2", 4);
	put(entry + 10, pack ? 8 : 0, 2);
	put(entry + 16, (uint32_t)crc32(crc32(0, NULL, 0), data, (uInt)bytes), 4);
	put(entry + 20, (uint32_t)packed, 4);
	put(entry + 24, (uint32_t)bytes, 4);
	put(entry + 28, (uint32_t)name_bytes, 2);
	put(entry + 42, (uint32_t)z->bytes, 4);
	memcpy(entry + 46, name, name_bytes);
	z->bytes += 30 + name_bytes + packed;
	z->directory_bytes += 46 + name_bytes;
	z->nr++;
}

static void zip_end(struct zip *z)
{
	uint8_t *end = z->data + z->bytes + z->directory_bytes;

	memcpy(z->data + z->bytes, z->directory, z->directory_bytes);
	memset(end, 0, 22);
	memcpy(end, "PK\5\6", 4);
	put(end + 8, z->nr, 2);
	put(end + 10, z->nr, 2);
	put(end + 12, (uint32_t)z->directory_bytes, 4);
	put(end + 16, (uint32_t)z->bytes, 4);
	z->bytes += z->directory_bytes + 22;
}

/* Two arrays, "first" stored and "second" deflated. */
static void make_archive(struct zip *z, struct ooo_onnx_tensor *t)
{
	uint8_t npy[512];
	size_t bytes;

	memset(z, 0, sizeof(*z));
	assert_int_equal(ooo_onnx_write_npy(path, t), 0);
	bytes = read_file(npy, sizeof(npy));
	zip_add(z, "first.npy", npy, bytes, false);
	zip_add(z, "second.npy", npy, bytes, true);
	zip_end(z);
}

static void test_npz(void **state)
{
	float data[] = { 1, 2, 3, 4, 5 };
	struct ooo_onnx_tensor t = {
		.dtype = OOO_FP32, .rank = 1, .dims = { 5 }, .data = data, .nbytes = sizeof(data)
	};
	struct ooo_onnx_tensor back;
	static struct zip z;

	make_archive(&z, &t);
	write_file(z.data, z.bytes);
	assert_int_equal(ooo_onnx_read_npz(path, "second", 0, &back), 0);
	assert_string_equal(back.name, "second");
	assert_same(&t, &back);
	ooo_onnx_tensor_free(&back);
	assert_int_equal(ooo_onnx_read_npz(path, NULL, 0, &back), 0);
	assert_string_equal(back.name, "first");
	assert_same(&t, &back);
	ooo_onnx_tensor_free(&back);
	assert_int_equal(ooo_onnx_read_npz(path, NULL, 2, &back), -ENOENT);
	assert_int_equal(ooo_onnx_read_npz(path, "third", 0, &back), -ENOENT);
}

/* Each byte changed, one by one: an error or a tensor, never more. */
static void test_broken_npz(void **state)
{
	float data[] = { 1, 2, 3, 4, 5 };
	struct ooo_onnx_tensor t = {
		.dtype = OOO_FP32, .rank = 1, .dims = { 5 }, .data = data, .nbytes = sizeof(data)
	};
	struct ooo_onnx_tensor back;
	static struct zip z;
	int errors = 0;

	make_archive(&z, &t);
	for (size_t i = 0; i < z.bytes; i++) {
		z.data[i] ^= 0xff;
		write_file(z.data, z.bytes);
		for (int k = 0; k < 2; k++) {
			if (ooo_onnx_read_npz(path, NULL, k, &back))
				errors++;
			else
				assert_same(&t, &back);
			ooo_onnx_tensor_free(&back);
		}
		z.data[i] ^= 0xff;
	}
	assert_true(errors > 100);
	for (size_t cut = 0; cut < z.bytes; cut++) {
		write_file(z.data, cut);
		assert_true(ooo_onnx_read_npz(path, NULL, 0, &back) < 0);
	}
}

static void test_files_that_are_none(void **state)
{
	struct ooo_onnx_model *model;
	struct ooo_onnx_tensor t;

	unlink(path);
	assert_int_equal(ooo_onnx_open(path, &model), -ENOENT);
	assert_null(model);
	assert_int_equal(ooo_onnx_open(folder, &model), -EINVAL);
	assert_non_null(strstr(ooo_onnx_error(), "not a regular file"));
	write_file("", 0);
	assert_int_equal(ooo_onnx_open(path, &model), -EINVAL);
	assert_non_null(strstr(ooo_onnx_error(), "empty"));
	assert_int_equal(ooo_onnx_read_pb(path, &t), -EINVAL);
	assert_int_equal(ooo_onnx_read_npy(path, &t), -EINVAL);
	assert_int_equal(truncate(path, (off_t)3 << 30), 0);
	assert_int_equal(ooo_onnx_open(path, &model), -EFBIG);
	assert_non_null(strstr(ooo_onnx_error(), "larger than 2 GiB"));
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pb_round_trip),
		cmocka_unit_test(test_npy_round_trip),
		cmocka_unit_test(test_wrong_tensors_are_not_written),
		cmocka_unit_test(test_typed_lists),
		cmocka_unit_test(test_bad_tensors),
		cmocka_unit_test(test_npy_from_elsewhere),
		cmocka_unit_test(test_npz),
		cmocka_unit_test(test_broken_npz),
		cmocka_unit_test(test_files_that_are_none),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
