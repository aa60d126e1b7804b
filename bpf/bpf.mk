# SPDX-License-Identifier: Apache-2.0
#
# bpf/X.bpf.c (kernel side) and bpf/X.c (user side) make build/bin/ooo-X, where
# clang, bpftool and libbpf are present; elsewhere they are left out.

BPF_TOOLS := $(patsubst bpf/%.bpf.c,%,$(wildcard bpf/*.bpf.c))

ifneq ($(HAVE_BPF),)

BPF_CLANG ?= clang
BPF_ARCH  := $(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/')

$(B)/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h shared/abi/*)
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(BPF_CLANG) -g -O2 -target bpf -D__TARGET_ARCH_$(BPF_ARCH) -Wall $(INCLUDES) \
		-Ibpf/vmlinux/$(BPF_ARCH) -c $< -o $@

$(B)/gen/bpf/%.skel.h: $(B)/bpf/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name $(subst -,_,$*) >$@

$(B)/obj/bpf/%.o: DIR_CFLAGS := $(BPF_CFLAGS)

define bpf_tool
$(call objects,bpf/$1.c): | $(B)/gen/bpf/$1.skel.h
$(call program,ooo-$1,$(call objects,bpf/$1.c),$(SHARED_LIB),$(BPF_LIBS))
endef
$(foreach tool,$(BPF_TOOLS),$(eval $(call bpf_tool,$(tool))))

endif
