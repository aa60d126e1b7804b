/* SPDX-License-Identifier: Apache-2.0 */
/* Fibers: stacks that one host thread switches between, without a system call where it can. */
#ifndef OOO_EMU_FIBER_H
#define OOO_EMU_FIBER_H

#include <stddef.h>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emu
{

/* Either a stack of its own or the host thread's (stack == nullptr). */
struct fiber {
	void *stack = nullptr; /* the lowest usable address */
	size_t stack_bytes = 0;
	void (*entry)(void *arg) = nullptr;
	void *arg = nullptr;
#if defined(__x86_64__)
	void *sp = nullptr;
#else
	ucontext_t context;
#endif
	void *fake_stack = nullptr; /* of the address sanitizer */
	void *tsan = nullptr;       /* of the thread sanitizer */
};

/* The calling thread as a fiber, so that others can switch back to it. */
void fiber_adopt(fiber *f);
/* A fiber on this stack that will call entry(arg), which must not return. */
void fiber_make(fiber *f, void *stack, size_t stack_bytes, void (*entry)(void *), void *arg);
void fiber_drop(fiber *f);
void fiber_switch(fiber *from, fiber *to);

} // namespace emu

#endif
