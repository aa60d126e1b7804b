/* SPDX-License-Identifier: Apache-2.0 */
/* Policy files: taken, and then good parameters for everybody, or refused with a reason. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/policy/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct policy_peer peer = { 0, 0, "/system.slice/web.service", "web" };
	struct policy_file *f = NULL;
	struct policy_result r;
	char why[POLICY_WHY_BYTES];

	memset(why, 0x55, sizeof(why));
	if (policy_file_parse((const char *)data, size, &f, why, sizeof(why))) {
		if (f || !why[0] || !memchr(why, 0, sizeof(why)))
			abort();
		return 0;
	}
	policy_file_match(f, &peer, &r);
	if (tenant_params_check(&r.params, why, sizeof(why)))
		abort();
	policy_file_free(f);
	return 0;
}
