/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole tenant: y = relu(x * W + b), loaded once, run once.
 *
 *   cc tenant.c $(pkg-config --cflags --libs libooo) -o tenant && ./tenant
 */
#include <stdio.h>
#include <ooo/ooo.h>

static int fail(const char *why)
{
	fprintf(stderr, "tenant: %s\n", why);
	return 1;
}

int main(void)
{
	const int64_t x_dims[] = { 1, 2 }, w_dims[] = { 2, 3 }, bias_dims[] = { 3 };
	const float w[] = { 1, 2, 3, -4, -5, -6 }, bias[] = { 0.5f, 9, 0 };
	struct ooo_client *client;
	struct ooo_program *program;
	struct ooo_binding *binding;
	struct ooo_completion done;
	uint32_t in[3], sum, relu;
	char why[256];

	/* Connect to this node's agent. */
	if (ooo_connect(NULL, &client, why, sizeof(why)))
		return fail(why);

	/* Declare the program: shapes are inferred and checked as it grows. */
	struct ooo_builder *b = ooo_builder_new("tenant");
	in[0] = ooo_input(b, OOO_FP32, 2, x_dims);
	in[1] = ooo_const(b, OOO_FP32, 2, w_dims, w, sizeof(w));
	in[2] = ooo_const(b, OOO_FP32, 1, bias_dims, bias, sizeof(bias));
	if (ooo_op(b, OOO_OP_MATMUL, NULL, in, 3, &sum, 1) ||
	    ooo_op(b, OOO_OP_RELU, NULL, &sum, 1, &relu, 1) || ooo_output(b, relu))
		return fail(ooo_builder_error(b));

	/* Load it: the agent compiles it. Bind it: input and output get a place in memory. */
	if (ooo_load(client, b, NULL, &program) || ooo_bind(program, &binding))
		return fail(ooo_error(client));
	ooo_builder_free(b);

	/* Fill the input, submit a request due in 5 ms, wait for it, read the output. */
	float *x = (float *)ooo_binding_input(binding, 0);
	float *y = (float *)ooo_binding_output(binding, 0);
	x[0] = 3;
	x[1] = 1;
	if (ooo_submit(binding, ooo_now_ns() + 5000000, 42) || ooo_wait(client, &done, 1, -1) != 1)
		return fail(ooo_error(client));
	printf("%s: relu(x * W + b) = %g %g %g after %.1f us\n", ooo_status_key(done.status), y[0],
	       y[1], y[2], (double)(done.finish_ns - done.submit_ns) / 1000);
	ooo_disconnect(client);
	return 0;
}
