# SPDX-License-Identifier: Apache-2.0
#
# ooo-agent is everything below agent/, and the CUDA kernels.  All but main.c is
# also an archive, for the tests.

AGENT_SRCS := $(filter-out agent/main.c,$(wildcard agent/*.c agent/*/*.c agent/*/*/*.c))
AGENT_LIB  := $(B)/libagent.a
AGENT_LIBS := $(BPF_LIBS) $(DNNL_LIBS) $(NL_LIBS) $(CJSON_LIBS) $(MHD_LIBS) -ldl -lm

$(B)/obj/agent/%.o: DIR_CFLAGS := $(if $(HAVE_BPF),-DHAVE_BPF $(BPF_CFLAGS)) $(if $(HAVE_MHD),-DHAVE_MHD $(MHD_CFLAGS)) $(DNNL_CFLAGS) $(NL_CFLAGS) $(CJSON_CFLAGS)

# Their loops are made to be vectorised.
$(foreach s,$(wildcard agent/device/cpu/kernels*.c),$(eval CFLAGS-$(s) := -O3))

include agent/device/cuda/cuda.mk

$(call archive,libagent,$(call objects,$(AGENT_SRCS)) $(CUDA_OBJS))

# Objects, not the archive: what registers itself must not be dropped.
ifneq ($(wildcard agent/main.c),)
$(call program,ooo-agent,$(call objects,agent/main.c $(AGENT_SRCS)) $(CUDA_OBJS),$(SHARED_LIB),$(AGENT_LIBS))
endif
