// SPDX-License-Identifier: Apache-2.0
#include "agent/watch/energy.h"

#include <dlfcn.h>
#include <stdlib.h>

/* The part of NVML's interface that is used here; 0 is success. */
struct energy {
	void *library;
	int (*init)(void);
	int (*shutdown)(void);
	int (*by_uuid)(const char *uuid, void **device);
	int (*total)(void *device, unsigned long long *mj);
};

static bool resolve(struct energy *e)
{
	const struct {
		const char *name;
		void **to;
	} symbols[] = {
		{ "nvmlInit_v2", (void **)&e->init },
		{ "nvmlShutdown", (void **)&e->shutdown },
		{ "nvmlDeviceGetHandleByUUID", (void **)&e->by_uuid },
		{ "nvmlDeviceGetTotalEnergyConsumption", (void **)&e->total },
	};

	for (unsigned i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
		*symbols[i].to = dlsym(e->library, symbols[i].name);
		if (!*symbols[i].to)
			return false;
	}
	return true;
}

struct energy *energy_open(const char *library)
{
	struct energy *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->library = dlopen(library ? library : "libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
	if (e->library && resolve(e) && !e->init())
		return e;
	if (e->library)
		dlclose(e->library);
	free(e);
	return NULL;
}

void energy_close(struct energy *e)
{
	if (!e)
		return;
	e->shutdown();
	dlclose(e->library);
	free(e);
}

bool energy_read(struct energy *e, const char *uuid, uint64_t *mj)
{
	unsigned long long total;
	void *device;

	if (e->by_uuid(uuid, &device) || e->total(device, &total))
		return false;
	*mj = total;
	return true;
}
