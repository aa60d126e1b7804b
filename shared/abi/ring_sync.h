/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only way to touch a word that two processes (or two threads) share. Every shared word has one
 * writer. What pairs with what:
 *
 *   store_release(index) after filling slots   <->  load_acquire(index) before reading them
 *   store_release(index) after reading slots   <->  load_acquire(index) before refilling them
 *   set flag, full_fence, load index (sleeper) <->  store index, full_fence, load flag (waker)
 *
 * The last pair needs full fences on both sides: it is a store-then-load on two different words
 * (Dekker), which neither acquire nor release orders.
 */
#ifndef OOO_ABI_RING_SYNC_H
#define OOO_ABI_RING_SYNC_H

#include <stdint.h>

static inline uint32_t ring_load_acquire(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void ring_store_release(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* No ordering: for a side's own words, flags re-read behind a fence, and single-writer counters. */
static inline uint32_t ring_load_relaxed(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static inline void ring_store_relaxed(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static inline void ring_full_fence(void)
{
#if defined(__SANITIZE_THREAD__)
	/* TSan does not model fences; a read-modify-write on a private word is one that it accepts. */
	static uint32_t word;
	__atomic_fetch_add(&word, 1, __ATOMIC_SEQ_CST);
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Spin-loop hint: tells the core (and its sibling) that this is a busy wait. */
static inline void ring_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("yield" ::: "memory");
#endif
}

#endif
