// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "agent/policy/params.h"

static void says(const struct tenant_params *p, const char *text)
{
	char why[128] = "";

	assert_int_equal(tenant_params_check(p, why, sizeof(why)), text ? -ERANGE : 0);
	if (text && !strstr(why, text))
		fail_msg("\"%s\" does not say \"%s\"", why, text);
}

static void every_bound_is_named(void **state)
{
	const struct tenant_params good = TENANT_PARAMS_DEFAULT;
	struct tenant_params p = good;

	(void)state;
	says(&p, NULL);
	p.weight = TENANT_WEIGHT_MAX;
	says(&p, NULL);
	p.weight++;
	says(&p, "weight 10001 is not from 1 to 10000");
	p = good, p.klass = TENANT_CLASSES;
	says(&p, "class 3");
	p = good, p.sm_min = 300, p.sm_max = 200;
	says(&p, "sm-min 300 is not from 0 to 200");
	p.sm_min = 200;
	says(&p, NULL);
	p = good, p.sm_max = 0;
	says(&p, "sm-max 0");
	p = good, p.slo_ns = 999;
	says(&p, "slo (ns) 999 is not from 1000");
	p = good, p.partition = 5;
	says(&p, "partition 5");
	p = good, p.max_inflight = TENANT_INFLIGHT_MAX + 1;
	says(&p, "inflight");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_bound_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
