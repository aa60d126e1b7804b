# SPDX-License-Identifier: Apache-2.0
#
# The kernels: every kernels/X.cu becomes one fatbin, embedded in the agent
# (image.h). Variants share them, below $(O)/cuda.
#
#   make CUDA_ARCHS=90a     compile for one architecture only, while developing

# A number is a cubin of that architecture, if this nvcc knows it; ptx80 is PTX for
# all others.
CUDA_ARCHS ?= 80 86 89 90a 100 ptx80
CUDA_USED  := $(foreach a,$(CUDA_ARCHS),$(if $(filter ptx% sm_$(a:%a=%),$a $(NVCC_CODES)),$a))

CUDA_SRCS  := $(if $(NVCC),$(sort $(wildcard agent/device/cuda/kernels/*.cu)))
CUDA_NAMES := $(patsubst agent/device/cuda/kernels/%.cu,%,$(CUDA_SRCS))
CUDA_OUT   := $(O)/cuda
CUDA_OBJS  := $(B)/obj/gen/cuda_images.o
NVCC_FLAGS := -std=c++17 -O3 -I. -Werror=all-warnings
FATBINARY  := $(patsubst %nvcc,%fatbinary,$(NVCC))
PTXAS_CHECK := agent/device/cuda/ptxas_check.sh

LIST_cuda_names := $(CUDA_NAMES)

# $(call cuda_part,X,ARCH): the file that X becomes for ARCH.
cuda_part = $(CUDA_OUT)/$1.$(if $(filter ptx%,$2),$(2:ptx%=%).ptx,$2.cubin)

cuda_target = $(if $(filter ptx%,$1),-ptx -arch=compute_$(1:ptx%=%),-cubin -Xptxas \
	-v$(comma)-warn-spills -gencode arch=compute_$1$(comma)code=sm_$1)

# The log outlives a failure; a success without warnings shows nothing.
define cuda_part_rule
$(call cuda_part,$1,$2): agent/device/cuda/kernels/$1.cu $(PTXAS_CHECK) agent/device/cuda/cuda.mk $(O)/config.mk
	$$(call say,NVCC,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(NVCC) $$(NVCC_FLAGS) $(call cuda_target,$2) -MMD -MP -MF $$@.d -MT $$@ -o $$@ $$< \
		>$$@.log 2>&1 || { cat $$@.log >&2; exit 1; }
	$$(Q)$(PTXAS_CHECK) $$@.log
-include $(call cuda_part,$1,$2).d
endef
$(foreach n,$(CUDA_NAMES),$(foreach a,$(CUDA_USED),$(eval $(call cuda_part_rule,$n,$a))))

# One for all variants, so not below $(B)/lists.
$(CUDA_OUT)/archs: FORCE
	@mkdir -p $(@D)
	@echo '$(CUDA_USED)' | cmp -s - $@ || echo '$(CUDA_USED)' >$@

cuda_image_of = --image3=kind=$(if $(filter ptx%,$2),ptx,elf),sm=$(2:ptx%=%),file=$(call cuda_part,$1,$2)

define cuda_fatbin_rule
$(CUDA_OUT)/$1.fatbin: $(foreach a,$(CUDA_USED),$(call cuda_part,$1,$a)) $(CUDA_OUT)/archs
	$$(call say,FATBIN,$$@)
	$$(Q)$$(FATBINARY) --64 --create=$$@ $(foreach a,$(CUDA_USED),$(call cuda_image_of,$1,$a))
endef
$(foreach n,$(CUDA_NAMES),$(eval $(call cuda_fatbin_rule,$n)))

CUDA_FATBINS := $(CUDA_NAMES:%=$(CUDA_OUT)/%.fatbin)

$(B)/gen/cuda_images.c: $(CUDA_FATBINS) agent/device/cuda/embed.sh agent/device/cuda/kernels.def \
		$(B)/lists/cuda_names
	$(Q)mkdir -p $(@D)
	$(Q)agent/device/cuda/embed.sh $(abspath $(CUDA_FATBINS)) >$@.tmp && mv $@.tmp $@

# Our declarations of the driver's interface are compared with the toolkit's.
CFLAGS-tests/unit/device/cuda_types_ut.c := $(if $(NVCC),-isystem $(patsubst %bin/nvcc,%include,$(NVCC)))
