// SPDX-License-Identifier: Apache-2.0
#include "tests/emu/fiber.h"

#include <stdint.h>

#if defined(__SANITIZE_ADDRESS__)
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(OOO_EMU_RACES)
#include <sanitizer/tsan_interface.h>
#endif

namespace emu
{

/* Called at the first instruction of a fiber after it was switched to. */
static void arrived(fiber *self)
{
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_finish_switch_fiber(self->fake_stack, nullptr, nullptr);
#else
	(void)self;
#endif
}

static void start(fiber *self)
{
	arrived(self);
	self->entry(self->arg);
	__builtin_trap(); /* an entry does not return */
}

#if defined(__x86_64__)

/* What the calling convention preserves goes on the stack, the stack pointer to *save. */
extern "C" void ooo_emu_switch(void **save, void *to);
extern "C" void ooo_emu_start();
asm(R"(
	.text
	.p2align 4
	.globl ooo_emu_switch
	.hidden ooo_emu_switch
	.type ooo_emu_switch, @function
ooo_emu_switch:
	pushq %rbp
	pushq %rbx
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, (%rdi)
	movq %rsi, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbx
	popq %rbp
	ret
	.size ooo_emu_switch, . - ooo_emu_switch
	.globl ooo_emu_start
	.hidden ooo_emu_start
	.type ooo_emu_start, @function
ooo_emu_start:
	movq %r12, %rdi
	xorl %ebp, %ebp
	callq *%rbx
	ud2
	.size ooo_emu_start, . - ooo_emu_start
)");

static void context_make(fiber *f)
{
	uintptr_t *top = (uintptr_t *)(((uintptr_t)f->stack + f->stack_bytes) & ~(uintptr_t)15);

	*--top = 0; /* keeps the stack aligned where ooo_emu_start calls */
	*--top = 0; /* where a return address would be: ends a backtrace */
	*--top = (uintptr_t)ooo_emu_start;
	*--top = 0;                 /* rbp */
	*--top = (uintptr_t)start;  /* rbx */
	*--top = (uintptr_t)f;      /* r12 */
	for (int i = 0; i < 3; i++) /* r13, r14, r15 */
		*--top = 0;
	f->sp = top;
}

static void context_switch(fiber *from, fiber *to)
{
	ooo_emu_switch(&from->sp, to->sp);
}

#else

static void start_halves(unsigned high, unsigned low)
{
	start((fiber *)(((uintptr_t)high << 32) | low));
}

static void context_make(fiber *f)
{
	getcontext(&f->context);
	f->context.uc_stack.ss_sp = f->stack;
	f->context.uc_stack.ss_size = f->stack_bytes;
	f->context.uc_link = nullptr;
	makecontext(&f->context, (void (*)())start_halves, 2,
		    (unsigned)((uint64_t)(uintptr_t)f >> 32), (unsigned)(uintptr_t)f);
}

static void context_switch(fiber *from, fiber *to)
{
	swapcontext(&from->context, &to->context);
}

#endif

void fiber_adopt(fiber *f)
{
	f->stack = nullptr;
	f->stack_bytes = 0;
#if defined(__SANITIZE_ADDRESS__)
	pthread_attr_t attr;

	if (pthread_getattr_np(pthread_self(), &attr) == 0) {
		pthread_attr_getstack(&attr, &f->stack, &f->stack_bytes);
		pthread_attr_destroy(&attr);
	}
#endif
#if defined(OOO_EMU_RACES)
	f->tsan = __tsan_get_current_fiber();
#endif
}

void fiber_make(fiber *f, void *stack, size_t stack_bytes, void (*entry)(void *), void *arg)
{
	f->stack = stack;
	f->stack_bytes = stack_bytes;
	f->entry = entry;
	f->arg = arg;
	f->fake_stack = nullptr;
#if defined(__SANITIZE_ADDRESS__)
	ASAN_UNPOISON_MEMORY_REGION(stack, stack_bytes); /* of frames that were abandoned */
#endif
#if defined(OOO_EMU_RACES)
	f->tsan = __tsan_create_fiber(0);
#endif
	context_make(f);
}

void fiber_drop(fiber *f)
{
#if defined(OOO_EMU_RACES)
	void *self = __tsan_get_current_fiber();

	__tsan_switch_to_fiber(f->tsan, 0); /* as a join: what it did was before what follows */
	__tsan_switch_to_fiber(self, 0);
	__tsan_destroy_fiber(f->tsan);
#else
	(void)f;
#endif
}

void fiber_switch(fiber *from, fiber *to)
{
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->stack_bytes);
#endif
#if defined(OOO_EMU_RACES)
	__tsan_switch_to_fiber(to->tsan, __tsan_switch_to_fiber_no_sync);
#endif
	context_switch(from, to);
	arrived(from);
}

} // namespace emu
