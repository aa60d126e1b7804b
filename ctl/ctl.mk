# SPDX-License-Identifier: Apache-2.0
#
# ooo-ctl is ctl/*.c, ctl/sim/*.c and ctl/trace/*.c, the administrator's tool; ooo-run is ctl/run/*.c, a
# tenant.  All but each one's main.c is also an archive, for the tests.

CTL_SRCS := $(filter-out ctl/main.c ctl/run%.c,$(wildcard ctl/*.c ctl/sim/*.c)) \
	    ctl/run/histogram.c ctl/run/times.c
TRACE_SRCS := $(wildcard ctl/trace/*.c)
CTL_SRCS += $(if $(HAVE_BPF),$(TRACE_SRCS))
CTL_SRCS := $(filter-out $(if $(HAVE_BPF),ctl/trace_none.c),$(CTL_SRCS))
RUN_SRCS := $(filter-out ctl/run/main.c,$(wildcard ctl/run/*.c))

CTL_LIB  := $(B)/libctl.a
RUN_LIB  := $(B)/librun.a
CTL_LIBS := $(BPF_LIBS) $(NL_LIBS) $(CJSON_LIBS) $(MHD_LIBS) -ldl -lm
RUN_LIBS := $(CJSON_LIBS) -lm

$(B)/obj/ctl/%.o: DIR_CFLAGS := $(NL_CFLAGS) $(CJSON_CFLAGS)

$(B)/obj/ctl/trace/%.o: DIR_CFLAGS += $(BPF_CFLAGS)
$(call objects,$(TRACE_SRCS)): | $(BPF_SKELS)

$(call archive,libctl,$(call objects,$(CTL_SRCS)))
$(call archive,librun,$(call objects,$(RUN_SRCS)))

ifneq ($(wildcard ctl/main.c),)
# The simulator is the agent's dispatcher, and takes what that needs of the agent's archive.
$(call program,ooo-ctl,$(call objects,ctl/main.c $(CTL_SRCS)),$(AGENT_LIB) $(SHARED_LIB),$(CTL_LIBS))
endif

# A tenant like any other: it sees the libraries' exported symbols only.
ifneq ($(wildcard ctl/run/main.c),)
$(call program,ooo-run,$(call objects,ctl/run/main.c $(RUN_SRCS)),$(SHARED_LIB) $(LIBRARIES),$(RUN_LIBS))
endif

# Manual pages and completions, from the programs' tables: a tool of the build makes them.
GEN_SRCS  := $(wildcard ctl/gen/*.c)
GEN_PROSE := $(wildcard packaging/man/*)
DOC_STAMP := $(B)/doc/.stamp

$(call program,../libexec/ooo-gen,$(call objects,$(GEN_SRCS)),$(CTL_LIB) $(AGENT_LIB) $(SHARED_LIB),$(CTL_LIBS))
PROGRAMS := $(filter-out $(B)/bin/../libexec/%,$(PROGRAMS))

$(DOC_STAMP): $(B)/bin/../libexec/ooo-gen $(GEN_PROSE) shared/client/ooo.h
	$(call say,DOC,$(@D))
	$(Q)rm -rf $(@D) && $< packaging/man $(@D) && touch $@
