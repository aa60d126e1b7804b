/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_runner [-n] FOLDER... - run test cases in the layout of the ONNX project's backend tests:
 *
 *   FOLDER/model.onnx
 *   FOLDER/test_data_set_N/input_I.pb, output_I.pb
 *
 * One line a case on stdout: a verdict, the case's name, and for all but passes the reason.
 *
 *   pass     the outputs are right
 *   fixed    right, with some inputs made constants (what the model computes shapes from)
 *   refused  the importer or the agent said that something is not supported
 *   wrong    an output differs in type, shape or value
 *   failed   anything else: a request that failed, the agent gone, unreadable data
 *
 * -n: import only; the cases that would be run count as "pass". One agent serves all cases.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/client/ooo.h"
#include "shared/onnx/ooo-onnx.h"

#define MAX_TENSORS 64
#define RTOL        1e-3
#define ATOL        1e-5
#define WAIT_NS     60000000000ll

enum verdict {
	PASS,
	FIXED,
	REFUSED,
	WRONG,
	FAILED,
	NR_VERDICTS
};

static const char *const verdicts[] = { "pass", "fixed", "refused", "wrong", "failed" };

struct data_set {
	struct ooo_onnx_tensor in[MAX_TENSORS], out[MAX_TENSORS];
	int nr_in, nr_out;
};

/* How much of the inputs is made constant, in the order in which it is tried. */
enum fixing {
	FIX_NONE,
	FIX_INTEGERS,
	FIX_ALL_BUT_FIRST,
	FIX_ALL,
	NR_FIXINGS
};

struct test_case {
	const char *folder;
	struct ooo_client *client; /* NULL: import only */
	struct ooo_onnx_model *model;
	struct data_set data;
	bool is_fixed[MAX_TENSORS];
	char why[1024];
};

static enum verdict say(struct test_case *t, enum verdict verdict, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static enum verdict say(struct test_case *t, enum verdict verdict, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t->why, sizeof(t->why), fmt, ap);
	va_end(ap);
	return verdict;
}

/* input_0.pb, input_1.pb, ... as far as there are files. Count, or -errno. */
static int read_tensors(const char *folder, int set, const char *kind, struct ooo_onnx_tensor *to)
{
	char path[4096];
	int n = 0;

	for (; n < MAX_TENSORS; n++) {
		int rc;

		snprintf(path, sizeof(path), "%s/test_data_set_%d/%s_%d.pb", folder, set, kind, n);
		rc = ooo_onnx_read_pb(path, &to[n]);
		if (rc == -ENOENT)
			return n;
		if (rc)
			return rc;
	}
	return n;
}

static void free_data(struct data_set *d)
{
	for (int i = 0; i < MAX_TENSORS; i++) {
		ooo_onnx_tensor_free(&d->in[i]);
		ooo_onnx_tensor_free(&d->out[i]);
	}
	d->nr_in = d->nr_out = 0;
}

/* Data that are no tensors belong to a model that is refused; else to types that we do not have. */
static enum verdict refuse_data(struct test_case *t)
{
	struct ooo_builder *builder;

	say(t, REFUSED, "%s", ooo_onnx_error());
	if (ooo_onnx_build(t->model, NULL, &builder))
		return say(t, REFUSED, "%s", ooo_onnx_error());
	ooo_builder_free(builder);
	return REFUSED;
}

static enum verdict read_data(struct test_case *t, int set)
{
	struct ooo_onnx_io io;

	t->data.nr_in = read_tensors(t->folder, set, "input", t->data.in);
	if (t->data.nr_in >= 0)
		t->data.nr_out = read_tensors(t->folder, set, "output", t->data.out);
	if (t->data.nr_in < 0 || t->data.nr_out < 0)
		return refuse_data(t);
	if (!t->data.nr_out)
		return say(t, FAILED, "no outputs to compare with");
	if (t->data.nr_in != ooo_onnx_nr_inputs(t->model))
		return say(t, FAILED, "%d input files for %d inputs", t->data.nr_in,
			   ooo_onnx_nr_inputs(t->model));
	for (int i = 0; i < t->data.nr_in; i++) {
		ooo_onnx_input(t->model, i, &io);
		free(t->data.in[i].name);
		t->data.in[i].name = strdup(io.name);
		if (!t->data.in[i].name)
			return say(t, FAILED, "no memory");
	}
	return PASS;
}

static bool to_fix(const struct ooo_onnx_tensor *x, int i, enum fixing fixing)
{
	switch (fixing) {
	case FIX_NONE:
		return false;
	case FIX_INTEGERS:
		return i > 0 && (x->dtype == OOO_INT64 || x->nbytes == 0);
	case FIX_ALL_BUT_FIRST:
		return i > 0;
	default:
		return true;
	}
}

static int build(struct test_case *t, enum fixing fixing, struct ooo_builder **out)
{
	struct ooo_onnx_tensor fixed[MAX_TENSORS];
	char shapes[MAX_TENSORS][400];
	const char *shape_of[MAX_TENSORS];
	struct ooo_onnx_opts opts = OOO_ONNX_OPTS_INIT;

	opts.fixed = fixed;
	opts.shapes = shape_of;
	for (int i = 0; i < t->data.nr_in; i++) {
		const struct ooo_onnx_tensor *x = &t->data.in[i];
		size_t at;

		t->is_fixed[i] = to_fix(x, i, fixing);
		if (t->is_fixed[i]) {
			fixed[opts.nr_fixed++] = *x;
			continue;
		}
		at = (size_t)snprintf(shapes[i], sizeof(shapes[i]), "%.100s=", x->name);
		for (int k = 0; k < x->rank; k++)
			at += (size_t)snprintf(shapes[i] + at, sizeof(shapes[i]) - at, "%s%" PRId64,
					       k ? "x" : "", x->dims[k]);
		shape_of[opts.nr_shapes++] = shapes[i];
	}
	return ooo_onnx_build(t->model, &opts, out);
}

static double half(uint16_t h)
{
	int exponent = h >> 10 & 31;
	double x = exponent == 31 ? (h & 1023 ? (double)NAN : (double)INFINITY)
		   : exponent     ? ldexp(1024 + (h & 1023), exponent - 25)
				  : ldexp(h & 1023, -24);

	return h & 0x8000 ? -x : x;
}

static double number(const void *data, enum ooo_dtype dtype, size_t i)
{
	uint32_t bits;
	float f;

	switch (dtype) {
	case OOO_FP32:
		return (double)((const float *)data)[i];
	case OOO_FP64:
		return ((const double *)data)[i];
	case OOO_FP16:
		return half(((const uint16_t *)data)[i]);
	case OOO_BF16:
		bits = (uint32_t)((const uint16_t *)data)[i] << 16;
		memcpy(&f, &bits, sizeof(f));
		return (double)f;
	default:
		return 0;
	}
}

static bool is_float(enum ooo_dtype dtype)
{
	return dtype == OOO_FP32 || dtype == OOO_FP64 || dtype == OOO_FP16 || dtype == OOO_BF16;
}

static bool close_enough(double got, double want)
{
	if (isnan(want) || isinf(want))
		return isnan(want) ? isnan(got) : got == want;
	return fabs(got - want) <= ATOL + RTOL * fabs(want);
}

static enum verdict compare(struct test_case *t, const struct ooo_program *program, int i,
			    const void *got)
{
	const struct ooo_onnx_tensor *want = &t->data.out[i];
	int64_t dims[OOO_MAX_RANK];
	enum ooo_dtype dtype;
	size_t elems;
	int rank;

	if (ooo_output_desc(program, i, &dtype, &rank, dims))
		return say(t, WRONG, "there is no output %d", i);
	if (dtype != want->dtype)
		return say(t, WRONG, "output %d is %s, not %s", i, ooo_dtype_name(dtype),
			   ooo_dtype_name(want->dtype));
	if (rank != want->rank || memcmp(dims, want->dims, (size_t)rank * sizeof(dims[0])))
		return say(t, WRONG, "output %d has the wrong shape (rank %d, expected %d)", i,
			   rank, want->rank);
	if (!is_float(dtype))
		return !want->nbytes || !memcmp(got, want->data, want->nbytes)
			       ? PASS
			       : say(t, WRONG, "output %d differs", i);
	elems = want->nbytes / ooo_dtype_bytes(dtype);
	for (size_t k = 0; k < elems; k++)
		if (!close_enough(number(got, dtype, k), number(want->data, dtype, k)))
			return say(t, WRONG, "output %d: element %zu is %.9g, not %.9g", i, k,
				   number(got, dtype, k), number(want->data, dtype, k));
	return PASS;
}

static enum verdict request(struct test_case *t, const struct ooo_program *program,
			    struct ooo_binding *binding)
{
	struct ooo_completion done;
	int rc, k = 0;

	for (int i = 0; i < t->data.nr_in; i++) {
		const struct ooo_onnx_tensor *x = &t->data.in[i];

		if (t->is_fixed[i])
			continue;
		if (ooo_input_bytes(program, k) != x->nbytes)
			return say(t, WRONG, "input %d takes %zu bytes, not %zu", i,
				   ooo_input_bytes(program, k), x->nbytes);
		if (x->nbytes)
			memcpy(ooo_binding_input(binding, k), x->data, x->nbytes);
		k++;
	}
	/* So that a result that is not written does not pass by luck. */
	for (int i = 0; i < t->data.nr_out; i++)
		if (ooo_output_bytes(program, i))
			memset(ooo_binding_output(binding, i), 0xa5, ooo_output_bytes(program, i));
	rc = ooo_submit(binding, 0, 1);
	if (rc)
		return say(t, FAILED, "submit: %s", ooo_error(t->client));
	rc = ooo_wait(t->client, &done, 1, WAIT_NS);
	if (rc != 1)
		return say(t, FAILED, "no completion: %s", rc ? strerror(-rc) : "time-out");
	if (done.status != OOO_OK)
		return say(t, FAILED, "the request ended with: %s", ooo_strstatus(done.status));
	for (int i = 0; i < t->data.nr_out; i++) {
		enum verdict v = compare(t, program, i, ooo_binding_output(binding, i));

		if (v != PASS)
			return v;
	}
	return PASS;
}

/* The agent may know its device's limits better than the importer: that is a refusal as well. */
static enum verdict run(struct test_case *t, const struct ooo_builder *builder)
{
	struct ooo_program_info info;
	struct ooo_program *program;
	struct ooo_binding *binding;
	enum verdict v;
	int rc;

	if (!t->client)
		return PASS;
	rc = ooo_load(t->client, builder, NULL, &program);
	if (rc)
		return say(t, rc == -EINVAL || rc == -EOPNOTSUPP ? REFUSED : FAILED, "agent: %s",
			   ooo_error(t->client));
	ooo_program_info(program, &info);
	rc = ooo_bind(program, &binding);
	if (rc)
		v = say(t, FAILED, "bind: %s", ooo_error(t->client));
	else if ((int)info.nr_outputs != t->data.nr_out)
		v = say(t, WRONG, "%u outputs, not %d", info.nr_outputs, t->data.nr_out);
	else
		v = request(t, program, binding);
	if (ooo_unload(program) && v == PASS)
		v = say(t, FAILED, "unload: %s", ooo_error(t->client));
	return v;
}

static enum verdict run_set(struct test_case *t, int set)
{
	char refusal[sizeof(t->why)] = "";
	enum verdict v = read_data(t, set);

	for (int fixing = 0; v == PASS && fixing < NR_FIXINGS; fixing++) {
		struct ooo_builder *builder;

		if (fixing && !t->data.nr_in)
			break;
		if (build(t, (enum fixing)fixing, &builder)) {
			if (!fixing)
				snprintf(refusal, sizeof(refusal), "%s", ooo_onnx_error());
			continue;
		}
		v = run(t, builder);
		ooo_builder_free(builder);
		return v == PASS && fixing ? FIXED : v;
	}
	return v == PASS ? say(t, REFUSED, "%s", refusal) : v;
}

static bool has_set(const char *folder, int set)
{
	char path[4096];
	DIR *dir;

	snprintf(path, sizeof(path), "%s/test_data_set_%d", folder, set);
	dir = opendir(path);
	if (dir)
		closedir(dir);
	return dir != NULL;
}

static enum verdict run_case(struct test_case *t)
{
	enum verdict worst = PASS;
	char path[4096];
	int rc;

	snprintf(path, sizeof(path), "%s/model.onnx", t->folder);
	rc = ooo_onnx_open(path, &t->model);
	if (rc)
		return say(t, rc == -EOPNOTSUPP ? REFUSED : FAILED, "%s", ooo_onnx_error());
	if (!has_set(t->folder, 0))
		worst = say(t, FAILED, "no test data");
	for (int set = 0; worst < REFUSED && has_set(t->folder, set); set++) {
		enum verdict v = run_set(t, set);

		worst = v > worst ? v : worst;
		free_data(&t->data);
	}
	ooo_onnx_close(t->model);
	return worst;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int main(int argc, char **argv)
{
	static struct test_case t;
	int counts[NR_VERDICTS] = { 0 }, first = 1;
	char text[512];
	bool import_only = argc > 1 && !strcmp(argv[1], "-n");

	if (import_only)
		first++;
	if (!import_only && ooo_connect(NULL, &t.client, text, sizeof(text))) {
		fprintf(stderr, "node_runner: %s\n", text);
		return 2;
	}
	for (int i = first; i < argc; i++) {
		enum verdict v;

		t.folder = argv[i];
		t.why[0] = '\0';
		v = run_case(&t);
		counts[v]++;
		printf("%s %s%s%s\n", verdicts[v], base_name(t.folder), t.why[0] ? ": " : "",
		       t.why);
		fflush(stdout);
	}
	for (int i = 0; i < NR_VERDICTS; i++)
		fprintf(stderr, "%s %d%s", verdicts[i], counts[i],
			i + 1 < NR_VERDICTS ? ", " : "\n");
	ooo_disconnect(t.client);
	return counts[WRONG] || counts[FAILED];
}
