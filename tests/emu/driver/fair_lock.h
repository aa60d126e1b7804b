/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lock that threads get in the order in which they asked. Where work is done in the call, a thread
 * that launches kernel after kernel holds the driver's lock nearly all the time: with an ordinary
 * mutex it would take it again before any waiter is awake, and others would starve for seconds.
 */
#ifndef OOO_EMU_FAIR_LOCK_H
#define OOO_EMU_FAIR_LOCK_H

#include <stdint.h>

#include <condition_variable>
#include <mutex>
#include <thread>

namespace emu
{

class fair_lock
{
	std::mutex inner;
	std::condition_variable changed;
	uint64_t next = 0, serving = 0; /* tickets */
	std::thread::id owner;
	unsigned depth = 0; /* its owner may take it again */

      public:
	void lock()
	{
		std::unique_lock<std::mutex> guard(inner);
		std::thread::id self = std::this_thread::get_id();

		if (depth && owner == self) {
			depth++;
			return;
		}
		uint64_t ticket = next++;

		changed.wait(guard, [&] { return serving == ticket; });
		owner = self;
		depth = 1;
	}

	void unlock()
	{
		std::unique_lock<std::mutex> guard(inner);

		if (--depth)
			return;
		serving++;
		changed.notify_all();
	}
};

} // namespace emu

#endif
