# SPDX-License-Identifier: Apache-2.0
#
# ooo-ctl is ctl/*.c, the administrator's tool; ooo-run is ctl/run/*.c, a
# tenant.  All but each one's main.c is also an archive, for the tests.

CTL_SRCS := $(filter-out ctl/main.c ctl/run%.c,$(wildcard ctl/*.c))
RUN_SRCS := $(filter-out ctl/run/main.c,$(wildcard ctl/run/*.c))

CTL_LIB  := $(B)/libctl.a
RUN_LIB  := $(B)/librun.a
CTL_LIBS := $(NL_LIBS) $(CJSON_LIBS) -lm
RUN_LIBS := $(CJSON_LIBS) -lm

$(B)/obj/ctl/%.o: DIR_CFLAGS := $(NL_CFLAGS) $(CJSON_CFLAGS)

$(call archive,libctl,$(call objects,$(CTL_SRCS)))
$(call archive,librun,$(call objects,$(RUN_SRCS)))

ifneq ($(wildcard ctl/main.c),)
$(call program,ooo-ctl,$(call objects,ctl/main.c $(CTL_SRCS)),$(SHARED_LIB),$(CTL_LIBS))
endif

# A tenant like any other: it sees the libraries' exported symbols only.
ifneq ($(wildcard ctl/run/main.c),)
$(call program,ooo-run,$(call objects,ctl/run/main.c $(RUN_SRCS)),$(SHARED_LIB) $(LIBRARIES),$(RUN_LIBS))
endif
