// SPDX-License-Identifier: Apache-2.0
#include "tests/emu/driver/state.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/emu/driver/control.h"

namespace emu
{

thread_local context *current_context;

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, nullptr, 0) : otherwise;
}

state::state()
{
	const char *fail = getenv("OOO_EMU_FAIL");
	char *end;

	conf.async = number_of("OOO_EMU_ASYNC", 0) != 0;
	conf.seed = number_of("OOO_EMU_SEED", 1);
	conf.devices = (int)number_of("OOO_EMU_DEVICES", 1);
	conf.sms = (int)number_of("OOO_EMU_SMS", 16);
	conf.capability = (int)number_of("OOO_EMU_CAPABILITY", 80);
	conf.memory_bytes = number_of("OOO_EMU_MEMORY", (uint64_t)4 << 30);
	if (!fail)
		return;
	fail_at = strtoul(fail, &end, 10);
	fail_with = (CUresult)strtoul(*end == ':' ? end + 1 : "999", nullptr, 10);
}

/* Never destroyed: worker threads may outlive main(). */
state &st()
{
	static state *s = new state;

	return *s;
}

/* The results after which a context is of no use on a GPU. */
bool is_fatal(CUresult result)
{
	switch (result) {
	case CUDA_ERROR_ECC_UNCORRECTABLE:
	case CUDA_ERROR_ILLEGAL_ADDRESS:
	case CUDA_ERROR_LAUNCH_TIMEOUT:
	case CUDA_ERROR_HARDWARE_STACK_ERROR:
	case CUDA_ERROR_ILLEGAL_INSTRUCTION:
	case CUDA_ERROR_MISALIGNED_ADDRESS:
	case CUDA_ERROR_INVALID_ADDRESS_SPACE:
	case CUDA_ERROR_INVALID_PC:
	case CUDA_ERROR_LAUNCH_FAILED:
		return true;
	default:
		return false;
	}
}

void break_context(context *ctx, CUresult result)
{
	if (ctx && ctx->sticky == CUDA_SUCCESS)
		ctx->sticky = result;
	st().dead = true;
}

call::call(enum need need) : lock(st().lock), result(CUDA_SUCCESS), ctx(current_context)
{
	state &s = st();

	if (need == NOTHING && s.initialised)
		return;
	s.nr_calls++;
	if (s.fail_at != 0 && s.nr_calls == s.fail_at) {
		result = s.fail_with;
		if (is_fatal(result))
			break_context(ctx, result);
		return;
	}
	if (need != NOTHING && !s.initialised)
		result = CUDA_ERROR_NOT_INITIALIZED;
	else if (need == CONTEXT && (!ctx || ctx->retained == 0))
		result = CUDA_ERROR_INVALID_CONTEXT;
	else if (need == CONTEXT)
		result = ctx->sticky;
}

} // namespace emu

EXPORT unsigned ooo_emulated_kernels(void)
{
	return emu::count_kernels();
}

EXPORT unsigned long ooo_emu_calls(void)
{
	std::lock_guard<emu::fair_lock> guard(emu::st().lock);

	return emu::st().nr_calls;
}

EXPORT void ooo_emu_fail(unsigned long n, int result)
{
	std::lock_guard<emu::fair_lock> guard(emu::st().lock);

	emu::st().fail_at = n ? emu::st().nr_calls + n : 0;
	emu::st().fail_with = (CUresult)result;
}

EXPORT void ooo_emu_revive(void)
{
	std::lock_guard<emu::fair_lock> guard(emu::st().lock);

	emu::st().dead = false;
}

EXPORT void ooo_emu_hold(int on)
{
	std::lock_guard<emu::fair_lock> guard(emu::st().lock);

	emu::st().held = on != 0;
	emu::st().changed.notify_all();
	if (on || emu::st().conf.async)
		return;
	for (emu::stream *s : emu::st().streams) {
		emu::pump(s);
		emu::settle(&s->grids); /* it has run when this returns, and the caller knows */
	}
}

EXPORT unsigned ooo_emu_leaks(void)
{
	std::lock_guard<emu::fair_lock> guard(emu::st().lock);

	return emu::st().nr_leaks;
}

EXPORT const char *ooo_emu_fault(void)
{
	return emu::st().fault;
}

EXPORT unsigned long ooo_emu_memory_used(void)
{
	std::lock_guard<emu::fair_lock> guard(emu::st().lock);
	unsigned long sum = 0;

	for (const auto &used : emu::st().used)
		sum += used.second;
	return sum;
}
