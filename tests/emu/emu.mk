# SPDX-License-Identifier: Apache-2.0
#
# A libcuda.so.1 without a GPU behind it: the kernels compiled as C++, and the
# part of the driver's interface that the agent uses.  Tests find it by
# OOO_EMU_DRIVER (run.sh).

EMU_SRCS := $(wildcard tests/emu/*.cc tests/emu/driver/*.cc)
EMU_KERNELS := $(sort $(wildcard agent/device/cuda/kernels/*.cu tests/emu/*.cu))
EMU_OBJS := $(EMU_SRCS:%.cc=$(B)/emu/obj/%.o) $(EMU_KERNELS:%.cu=$(B)/emu/obj/%.o)
EMU_LIB  := $(B)/emu/libcuda.so.1

# Contraction would round where the GPU does not; without the instruction every
# fmaf is a call.
EMU_FMA := $(shell grep -qsw fma /proc/cpuinfo && echo -mfma)
EMU_FLAGS := -std=c++17 -fPIC -fvisibility=hidden -fno-strict-aliasing -ffp-contract=off -pthread \
	     -Wall -Wextra -Wno-unknown-pragmas -Wno-unused-function -DOOO_EMULATE -I. $(EMU_FMA) \
	     $(if $(WERROR),-Werror) $(if $(ASAN),--param asan-use-after-return=0)
EMU_SANITIZE := $(SANITIZE)

# The threads of a block are threads to the sanitizer, what switches between them is
# none of its business.
ifeq ($(TSAN),1)
$(B)/emu/obj/tests/emu/emu.o $(B)/emu/obj/tests/emu/fiber.o: EMU_SANITIZE := -DOOO_EMU_RACES
endif

define EMU_COMPILE
$(call say,CXX,$<)
$(Q)mkdir -p $(@D)
$(Q)$(CXX) $(filter-out -std=%,$(CFLAGS)) $(EMU_FLAGS) $(EMU_SANITIZE) -MMD -MP -MF $(@:.o=.d) -MT $@ -x c++ -c $< -o $@
endef

$(B)/emu/obj/%.o: %.cc
	$(EMU_COMPILE)

$(B)/emu/obj/%.o: %.cu
	$(EMU_COMPILE)

$(EMU_OBJS): Makefile tests/emu/emu.mk | $(O)/setup-test.stamp

LIST_emu := $(EMU_OBJS)
$(EMU_LIB): $(EMU_OBJS) $(B)/lists/emu
	$(call say,LINK,$@)
	$(Q)$(CXX) $(filter-out -std=%,$(CFLAGS)) -shared -pthread $(SANITIZE) $(NO_UNDEFINED) $(LDFLAGS) \
		-Wl,-soname,libcuda.so.1 $(EMU_OBJS) -o $@

-include $(EMU_OBJS:.o=.d)
