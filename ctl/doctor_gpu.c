// SPDX-License-Identifier: Apache-2.0
/* Is there an NVIDIA GPU, may we open it, and what can its driver do? Nothing is started on it. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/doctor.h"

#define VENDOR_NVIDIA 0x10de
#define CLASS_DISPLAY 0x03 /* its highest byte, of three */

#define CUDA_FLOOR 12000 /* driver 525 */
#define CUDA_GREEN 12040 /* driver 550 */

#define INSTALL_DRIVER "apt-get install -y nvidia-driver  # or NVIDIA's own, 525 or later"

static unsigned long read_hex(const char *dir, const char *name)
{
	char path[512], text[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", dir, name);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	return strtoul(text, NULL, 16);
}

/* On the PCI bus, whether or not there is a driver; a container may show the nodes alone. */
static unsigned count_gpus(void)
{
	DIR *dir = opendir("/sys/bus/pci/devices");
	const struct dirent *e;
	unsigned nr = 0;

	while (dir && (e = readdir(dir)))
		nr += read_hex(e->d_name, "vendor") == VENDOR_NVIDIA &&
		      read_hex(e->d_name, "class") >> 16 == CLASS_DISPLAY;
	if (dir)
		closedir(dir);
	if (!nr && !access("/dev/nvidia0", F_OK))
		nr = 1;
	return nr;
}

void doctor_gpu(struct doctor *c)
{
	unsigned nr = count_gpus();

	if (nr)
		doctor_say(c, DOCTOR_OK, NULL, "%u NVIDIA", nr);
	else
		doctor_say(c, DOCTOR_WARN, NULL, "no NVIDIA GPU in this machine");
}

void doctor_gpu_nodes(struct doctor *c)
{
	char command[256], closed[64] = "";
	glob_t found;

	if (!count_gpus()) {
		doctor_say(c, DOCTOR_OK, NULL, "not needed: there is no GPU");
		return;
	}
	if (glob("/dev/nvidia[0-9]*", 0, NULL, &found)) {
		doctor_say(c, DOCTOR_FAIL, "nvidia-modprobe -u -c 0", "/dev/nvidia0 is not there");
		return;
	}
	for (size_t i = 0; i < found.gl_pathc && !closed[0]; i++)
		if (access(found.gl_pathv[i], R_OK | W_OK))
			snprintf(closed, sizeof(closed), "%s", found.gl_pathv[i]);
	if (!closed[0] && access("/dev/nvidiactl", R_OK | W_OK))
		snprintf(closed, sizeof(closed), "/dev/nvidiactl");
	snprintf(command, sizeof(command), "chmod a+rw %s", closed);
	if (closed[0])
		doctor_say(c, DOCTOR_FAIL, command, "%s cannot be opened by uid %u", closed,
			   getuid());
	else if (access("/dev/nvidia-uvm", R_OK | W_OK))
		doctor_say(c, DOCTOR_FAIL, "nvidia-modprobe -u -c 0",
			   "/dev/nvidia-uvm cannot be opened");
	else
		doctor_say(c, DOCTOR_OK, NULL, "%zu can be opened", found.gl_pathc);
	globfree(&found);
}

/* The version of CUDA that the driver speaks, 12040 for 12.4; 0: no driver. */
static int cuda_version(void **lib)
{
	int (*get)(int *version) = NULL;
	int version = 0;

	*lib = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
	if (*lib)
		*(void **)&get = dlsym(*lib, "cuDriverGetVersion");
	if (get && get(&version))
		version = 0;
	return version;
}

void doctor_driver(struct doctor *c)
{
	void *lib;
	int version = cuda_version(&lib);
	bool gpu = count_gpus() > 0;

	if (!lib)
		doctor_say(c, gpu ? DOCTOR_FAIL : DOCTOR_OK, gpu ? INSTALL_DRIVER : NULL, "%s",
			   gpu ? "libcuda.so.1 is not found" : "none; not needed without a GPU");
	else if (version < CUDA_FLOOR)
		doctor_say(c, DOCTOR_FAIL, INSTALL_DRIVER, "speaks CUDA %d.%d", version / 1000,
			   version % 1000 / 10);
	else
		doctor_say(c, DOCTOR_OK, NULL, "speaks CUDA %d.%d", version / 1000,
			   version % 1000 / 10);
	if (lib)
		dlclose(lib);
}

void doctor_green(struct doctor *c)
{
	void *lib;
	int version = cuda_version(&lib);

	if (!lib)
		doctor_say(c, count_gpus() ? DOCTOR_WARN : DOCTOR_OK, NULL,
			   "no driver: no partitions");
	else if (version < CUDA_GREEN || !dlsym(lib, "cuGreenCtxCreate"))
		doctor_say(c, DOCTOR_WARN, INSTALL_DRIVER ", 550 for partitions",
			   "the driver has none: --partition is refused");
	else
		doctor_say(c, DOCTOR_OK, NULL, "the driver has them");
	if (lib)
		dlclose(lib);
}

void doctor_nvrtc(struct doctor *c)
{
	static const char *const names[] = { "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so" };
	void *lib = NULL;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !lib; i++) {
		/* It keeps memory that only it knows of: it stays. */
		lib = dlopen(names[i], RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
		if (lib)
			doctor_say(c, DOCTOR_OK, NULL, "%s", names[i]);
	}
	if (!lib)
		doctor_say(c, DOCTOR_OK, NULL, "none; not needed");
	else
		dlclose(lib);
}
