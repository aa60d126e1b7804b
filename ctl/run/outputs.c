// SPDX-License-Identifier: Apache-2.0
/* Outputs: compare with expected ones, hash for bit-identity, save. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ctl/run/run.h"

int expected_load(const struct run_options *o, struct expected *e, char *why, size_t why_bytes)
{
	memset(e, 0, sizeof(*e));
	for (int i = 0; i < o->nr_compare; i++) {
		int err = read_tensor(o->compare[i], NULL, 0, &e->tensors[i], why, why_bytes);

		if (err) {
			expected_free(e);
			return err;
		}
		e->nr++;
	}
	return 0;
}

void expected_free(struct expected *e)
{
	for (int i = 0; i < e->nr; i++)
		ooo_onnx_tensor_free(&e->tensors[i]);
	e->nr = 0;
}

static double element(const void *data, enum ooo_dtype dtype, size_t i)
{
	switch (dtype) {
	case OOO_FP32:
		return (double)((const float *)data)[i];
	case OOO_INT64:
		return (double)((const int64_t *)data)[i];
	case OOO_INT32:
		return (double)((const int32_t *)data)[i];
	default:
		return (double)((const uint8_t *)data)[i];
	}
}

static bool comparable(enum ooo_dtype dtype)
{
	return dtype == OOO_FP32 || dtype == OOO_INT64 || dtype == OOO_INT32 || dtype == OOO_BOOL ||
	       dtype == OOO_UINT8;
}

/* NaN agrees with NaN only, infinity with itself only. */
static bool close_enough(double got, double want, double rtol, double atol)
{
	if (isnan(want) || isnan(got))
		return isnan(want) && isnan(got);
	if (isinf(want) || isinf(got))
		return want == got;
	return fabs(got - want) <= atol + rtol * fabs(want);
}

static bool tensor_agrees(const struct run_options *o, const struct ooo_onnx_tensor *want,
			  const void *got, int index, struct tenant_result *r, char *why,
			  size_t why_bytes)
{
	size_t n = want->nbytes / ooo_dtype_bytes(want->dtype), bad = 0;

	for (size_t i = 0; i < n; i++) {
		double a = element(got, want->dtype, i), b = element(want->data, want->dtype, i);
		double err = fabs(a - b);

		if (err > r->max_abs_err)
			r->max_abs_err = err;
		if (b != 0 && err / fabs(b) > r->max_rel_err)
			r->max_rel_err = err / fabs(b);
		if (!close_enough(a, b, o->rtol, o->atol) && !bad++)
			snprintf(why, why_bytes, "output %d: element %zu is %.9g, expected %.9g",
				 index, i, a, b);
	}
	return !bad;
}

bool outputs_agree(const struct run_options *o, const struct expected *e,
		   const struct ooo_program *program, const struct ooo_binding *binding,
		   struct tenant_result *r, char *why, size_t why_bytes)
{
	bool agree = true;

	for (int i = 0; i < e->nr; i++) {
		const struct ooo_onnx_tensor *want = &e->tensors[i];
		size_t nbytes = ooo_output_bytes(program, i);
		int64_t dims[OOO_MAX_RANK];
		enum ooo_dtype dtype;
		int rank;

		if (ooo_output_desc(program, i, &dtype, &rank, dims)) {
			snprintf(why, why_bytes, "--compare: the program has no output %d", i);
			return false;
		}
		if (dtype != want->dtype || nbytes != want->nbytes || !comparable(dtype)) {
			snprintf(why, why_bytes,
				 "output %d: is %zu bytes of %s, the file has %zu bytes of %s", i,
				 nbytes, ooo_dtype_name(dtype), want->nbytes,
				 ooo_dtype_name(want->dtype));
			return false;
		}
		agree &= tensor_agrees(o, want, ooo_binding_output(binding, i), i, r, why,
				       why_bytes);
	}
	return agree;
}

/* FNV-1a over 64-bit words (Fowler, Noll, Vo): tells different bits apart, not an adversary. */
uint64_t outputs_hash(const struct ooo_program *program, const struct ooo_binding *binding)
{
	uint64_t hash = 0xcbf29ce484222325ull, word;
	struct ooo_program_info info;

	ooo_program_info(program, &info);
	for (int i = 0; i < (int)info.nr_outputs; i++) {
		const char *p = ooo_binding_output(binding, i);
		size_t n = ooo_output_bytes(program, i);

		while (n) {
			size_t take = n < sizeof(word) ? n : sizeof(word);

			word = 0;
			memcpy(&word, p, take);
			hash = (hash ^ word) * 0x100000001b3ull;
			p += take;
			n -= take;
		}
	}
	return hash;
}

static int save_one(const char *path, const struct ooo_onnx_tensor *t, char *why, size_t why_bytes)
{
	size_t n = strlen(path);
	bool pb = n > 3 && !strcmp(path + n - 3, ".pb");
	int err = pb ? ooo_onnx_write_pb(path, t) : ooo_onnx_write_npy(path, t);

	if (err)
		snprintf(why, why_bytes, "%s", ooo_onnx_error());
	return err;
}

/* Output 0 goes to the file as named, output i to NAME.i.EXT. */
int outputs_save(const struct run_options *o, const struct ooo_program *program,
		 const struct ooo_binding *binding, char *why, size_t why_bytes)
{
	struct ooo_program_info info;
	const char *dot = strrchr(o->output, '.');
	int stem = (int)(dot ? (size_t)(dot - o->output) : strlen(o->output));

	ooo_program_info(program, &info);
	for (int i = 0; i < (int)info.nr_outputs; i++) {
		struct ooo_onnx_tensor t = { .data = ooo_binding_output(binding, i),
					     .nbytes = ooo_output_bytes(program, i) };
		char path[4096];
		int err;

		ooo_output_desc(program, i, &t.dtype, &t.rank, t.dims);
		if (i)
			snprintf(path, sizeof(path), "%.*s.%d%s", stem, o->output, i,
				 dot ? dot : "");
		else
			snprintf(path, sizeof(path), "%s", o->output);
		err = save_one(path, &t, why, why_bytes);
		if (err)
			return err;
	}
	return 0;
}
