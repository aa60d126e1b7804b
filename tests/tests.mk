# SPDX-License-Identifier: Apache-2.0
#
#   tests/unit/**/X_ut.c        a cmocka program each; mirrors the tree's paths
#   tests/integration/X.sh|.py  a script each, against the built programs
#   tests/integration/X.c       a helper that such a script runs
#   tests/fuzz/X_fuzz.c         a libFuzzer target each, seeds in tests/fuzz/seeds/X
#   tests/bench/X.c             a program that tests/bench/run.sh runs
#   tests/gpu/gpu_X.c           a program for a machine with a GPU; `make stage` takes it along
#
# Everything goes to $(B)/tests/, under the same path.

T            ?=
FUZZ_SECONDS ?= 60

UNIT_SRCS   := $(sort $(wildcard $(foreach d,* */* */*/* */*/*/*,tests/unit/$(d)_ut.c)))
HELPER_SRCS := $(sort $(wildcard tests/integration/*.c))
SCRIPTS     := $(sort $(wildcard tests/integration/*.sh tests/integration/*.py))
FUZZ_SRCS   := $(sort $(wildcard tests/fuzz/*_fuzz.c))
BENCH_SRCS  := $(sort $(wildcard tests/bench/*.c))

test_bins = $(patsubst tests/%.c,$(B)/tests/%,$1)

TEST_CFLAGS := $(DNNL_CFLAGS) $(NL_CFLAGS) $(CJSON_CFLAGS) $(PROTOBUF_C_CFLAGS) $(if $(HAVE_MHD),-DHAVE_MHD $(MHD_CFLAGS))
$(B)/obj/tests/%.o: DIR_CFLAGS := $(TEST_CFLAGS)
$(call objects,$(UNIT_SRCS)): | $(O)/setup-test.stamp
$(call objects,$(UNIT_SRCS) $(HELPER_SRCS) $(FUZZ_SRCS) $(BENCH_SRCS)): | $(if $(ONNX_SRCS),$(ONNX_PB).h)

# A test sees every internal symbol.  One that includes the .c under test, or
# stubs a function, wins over the archive's member as long as it defines all
# that the others want from that member.
TEST_ARCHIVES := $(AGENT_LIB) $(CTL_LIB) $(RUN_LIB) $(ONNX_LIB) $(CLIENT_LIB) $(SHARED_LIB)
TEST_LIBS     := $(DNNL_LIBS) $(NL_LIBS) $(CJSON_LIBS) $(PROTOBUF_C_LIBS) -lz $(MHD_LIBS) $(BPF_LIBS) -ldl -lm
CTL_FIRST     := $(CTL_LIB) $(RUN_LIB) $(filter-out $(CTL_LIB) $(RUN_LIB),$(TEST_ARCHIVES))

# It makes allocations fail.
LDFLAGS-tests/unit/program/memory_ut.c := \
	-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc
# It borrows the flow tests' rig, whose checks are cmocka's.
LDFLAGS-tests/fuzz/ring_slot_fuzz.c := -Wl,--no-as-needed -lcmocka -Wl,--as-needed
LDFLAGS-tests/bench/sched.c := -Wl,--no-as-needed -lcmocka -Wl,--as-needed
LDFLAGS-tests/bench/stages.c := -Wl,--no-as-needed -lcmocka -Wl,--as-needed

# $(call test_program,SOURCE,ARCHIVES,LIBS)
define test_program_rule
ALL_OBJS += $(call objects,$1)
$(call test_bins,$1): $(call objects,$1) $2
	$$(call say,LINK,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CFLAGS) $$(OOO_LDFLAGS) $$(LDFLAGS-$1) $(call objects,$1) \
		-Wl,--start-group $2 -Wl,--end-group $3 -o $$@
endef
test_program = $(eval $(call test_program_rule,$1,$2,$3))

$(foreach s,$(UNIT_SRCS),$(call test_program,$(s),$(if $(filter tests/unit/ctl/%,$(s)),$(CTL_FIRST),$(TEST_ARCHIVES)),-lcmocka $(TEST_LIBS)))
$(foreach s,$(BENCH_SRCS),$(call test_program,$(s),$(TEST_ARCHIVES),$(TEST_LIBS)))
$(foreach s,$(FUZZ_SRCS),$(call test_program,$(s),$(TEST_ARCHIVES),-fsanitize=fuzzer $(TEST_LIBS)))
# A helper is a tenant: it links with the libraries as any program would.
$(foreach s,$(HELPER_SRCS),$(call test_program,$(s),$(SHARED_LIB) $(LIBRARIES),-Wl$(comma)-rpath$(comma)$(abspath $(B)/lib) $(CJSON_LIBS) -lm))

include tests/emu/emu.mk

# Programs for GPU machines, which have what is staged and no compiler: they find libraries in
# ../lib.  The other sources of the folder are gpu_check's, exec.c is everybody's.
GPU_MAINS   := $(wildcard tests/gpu/gpu_*.c)
GPU_SRCS    := $(filter-out $(GPU_MAINS),$(wildcard tests/gpu/*.c))
GPU_BINS    := $(patsubst tests/gpu/%.c,$(B)/libexec/%,$(GPU_MAINS))

# $(call gpu_program,NAME,SOURCES)
define gpu_program_rule
ALL_OBJS += $(call objects,$2)
$(B)/libexec/$1: $(call objects,$2) $(TEST_ARCHIVES)
	$$(call say,LINK,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CFLAGS) $$(OOO_LDFLAGS) $$(RPATH) $(call objects,$2) \
		-Wl,--whole-archive $(AGENT_LIB) -Wl,--no-whole-archive \
		-Wl,--start-group $(filter-out $(AGENT_LIB),$(TEST_ARCHIVES)) -Wl,--end-group \
		$(TEST_LIBS) -o $$@
endef
gpu_program = $(eval $(call gpu_program_rule,$1,$2))

$(call gpu_program,gpu_check,tests/gpu/gpu_check.c $(GPU_SRCS))
$(call gpu_program,gpu_bench,tests/gpu/gpu_bench.c tests/gpu/exec.c)
$(call objects,$(GPU_MAINS) $(GPU_SRCS)): | $(O)/setup-test.stamp

# What a test, the demo and the benchmarks find in their environment.
TEST_ENV = OOO_BUILD='$(abspath $(B))' OOO_VENV='$(abspath $(VENV))' OOO_SANITIZE='$(if $(ASAN),asan)$(if $(TSAN),tsan)'

.PHONY: check property gpu-check gpu-bench demo bench fuzz fuzz-run lint format tests

tests: $(call test_bins,$(UNIT_SRCS) $(HELPER_SRCS)) $(EMU_LIB) $(B)/libexec/gpu_check

check: all tests $(VENV)/.stamp
	$(Q)$(TEST_ENV) tests/run.sh -t $(TEST_TIMEOUT) $(if $(T),-f '$(T)') \
		$(call test_bins,$(UNIT_SRCS)) $(SCRIPTS)

# What was staged is run as it is: the machine need not be able to build it.  With the toolkit's
# checker there, small cases run once more under each of its tools.
STAGED = $(B)/stage/libexec
gpu-check gpu-bench:
	$(Q)[ -x $(STAGED)/$(subst -,_,$@) ] || $(MAKE) --no-print-directory stage
	$(Q)$(STAGED)/$(subst -,_,$@) $(GPU_ARGS)
	$(Q)[ $@ = gpu-bench ] || ! command -v compute-sanitizer >/dev/null || \
		for tool in memcheck racecheck synccheck; do \
			echo "compute-sanitizer $$tool"; \
			compute-sanitizer --tool $$tool --error-exitcode 1 --print-limit 20 \
				$(STAGED)/gpu_check --quick --tiny --only operators || exit 1; \
		done

# The flow under random histories: CASES of them from SEED on.
CASES ?= 100000
SEED  ?= 1
PROPERTY = $(B)/tests/unit/flow/deadlines_ut $(B)/tests/unit/flow/property_ut
property: $(PROPERTY)
	$(Q)for t in $^; do \
		OOO_PROPERTY_CASES=$(CASES) OOO_PROPERTY_SEED=$(SEED) $$t 2>/dev/null || exit 1; \
	done

demo: all $(O)/setup-test.stamp $(VENV)/.stamp
	$(Q)$(TEST_ENV) tests/run.sh --exec tests/demo.sh

bench: all $(call test_bins,$(BENCH_SRCS)) $(O)/setup-test.stamp $(VENV)/.stamp
	$(Q)$(TEST_ENV) tests/run.sh --exec tests/bench/run.sh

# The fuzz targets and all that they link with are built apart, by clang.
fuzz: $(O)/setup-dev.stamp $(O)/setup-test.stamp
	+$(Q)$(MAKE) --no-print-directory FUZZ=1 ASAN= TSAN= fuzz-run

fuzz-run: $(call test_bins,$(FUZZ_SRCS))
	$(Q)$(TEST_ENV) FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run.sh -t $$(($(FUZZ_SECONDS) + 60)) \
		$(if $(T),-f '$(T)') --allow-none $^

# ---- lint --------------------------------------------------------------------

CLANG_FORMAT ?= $(VENV)/bin/clang-format
CLANG_TIDY   ?= clang-tidy
CPPCHECK     ?= cppcheck

FORMAT_SRCS = $(shell find agent ctl shared bpf tests -name '*.[ch]' ! -name 'vmlinux*' 2>/dev/null)
TIDY_SRCS   := $(AGENT_SRCS) $(wildcard agent/main.c) $(CTL_SRCS) $(wildcard ctl/main.c) \
	       $(wildcard ctl/run/*.c) $(CLIENT_SRCS) $(ONNX_SRCS) $(SHARED_SRCS)
TIDY_FLAGS  := -std=gnu11 -D_FORTIFY_SOURCE=0 $(INCLUDES) $(DEFINES) $(TEST_CFLAGS)

LINT_PARTS := lint-format lint-tidy lint-cppcheck lint-rules
.PHONY: $(LINT_PARTS)

# One pass shows all that is wrong.
lint: $(O)/setup-dev.stamp $(VENV)/.stamp
	+$(Q)$(MAKE) --no-print-directory --keep-going $(LINT_PARTS)
	@echo 'lint: clean'

# The one clang-format whose opinion counts is the pinned one.
lint-format: $(VENV)/.stamp
	$(call say,FORMAT,sources)
	$(Q)$(CLANG_FORMAT) --version >/dev/null
	$(Q)status=0; for f in $(FORMAT_SRCS); do \
		$(CLANG_FORMAT) $$f | cmp -s - $$f || { echo "$$f: not formatted, see make format" >&2; status=1; }; \
	done; exit $$status

format: $(VENV)/.stamp
	$(Q)$(CLANG_FORMAT) -i $(FORMAT_SRCS)

# Stamps: only what changed, or whose headers did, is looked at again.
lint-tidy: $(patsubst %.c,$(B)/lint/%.tidy,$(TIDY_SRCS))

$(B)/lint/%.tidy: %.c .clang-tidy | $(O)/setup-dev.stamp $(BPF_SKELS) $(if $(ONNX_SRCS),$(ONNX_PB).h)
	$(call say,TIDY,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG_TIDY) --quiet $< -- $(TIDY_FLAGS) $(CFLAGS-$<) >$@.log 2>&1 || \
		{ cat $@.log; exit 1; }
	$(Q)touch $@

lint-cppcheck: | $(O)/setup-dev.stamp
	$(call say,CPPCHECK,sources)
	$(Q)mkdir -p $(B)/lint/cppcheck
	$(Q)[ -z '$(firstword $(TIDY_SRCS))' ] || $(CPPCHECK) --quiet --error-exitcode=1 \
		--enable=warning,portability --std=c11 --inline-suppr -j $$(nproc) \
		--suppressions-list=tests/lint/cppcheck-suppressions.txt \
		--cppcheck-build-dir=$(B)/lint/cppcheck $(INCLUDES) $(DEFINES) $(TIDY_SRCS)

lint-rules:
	$(call say,RULES,tests/checks)
	$(Q)status=0; for check in tests/checks/check_*.sh; do $$check || status=1; done; exit $$status
