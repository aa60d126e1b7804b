# SPDX-License-Identifier: Apache-2.0
#
# bpf/X.bpf.c becomes a skeleton, bpf/X.skel.h in the folder of generated sources, which ooo-ctl
# carries; where clang, bpftool or libbpf are missing, `ooo-ctl trace` says so instead.

BPF_SRCS  := $(wildcard bpf/*.bpf.c)
BPF_SKELS :=

ifneq ($(HAVE_BPF),)

BPF_SKELS := $(patsubst bpf/%.bpf.c,$(B)/gen/bpf/%.skel.h,$(BPF_SRCS))
BPF_CLANG ?= clang
BPF_ARCH  := $(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/')
# Kernel headers of a Debian machine stand in a folder of the architecture's.
BPF_SYS   := $(addprefix -idirafter /usr/include/,$(shell $(CC) -print-multiarch 2>/dev/null))

$(B)/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h shared/abi/*.h) bpf/bpf.mk
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(BPF_CLANG) -g -O2 -target bpf -ffreestanding -D__TARGET_ARCH_$(BPF_ARCH) -Wall -Werror \
		-Wno-compare-distinct-pointer-types $(INCLUDES) $(BPF_CFLAGS) $(BPF_SYS) -c $< -o $@

$(B)/gen/bpf/%.skel.h: $(B)/bpf/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)mkdir -p $(@D)
	$(Q){ echo '/* NOLINTBEGIN: generated */' && $(BPFTOOL) gen skeleton $< name $*_bpf && \
		echo '/* NOLINTEND */'; } >$@

endif
