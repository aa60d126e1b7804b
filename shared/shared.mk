# SPDX-License-Identifier: Apache-2.0
#
# shared/lib is linked into everything; shared/client is libooo and
# shared/onnx is libooo-onnx.  All of it must fit in a shared library.

SHARED_SRCS := $(wildcard shared/lib/*.c)
CLIENT_SRCS := $(wildcard shared/client/*.c)
ONNX_SRCS   := $(wildcard shared/onnx/*.c)

SHARED_LIB := $(B)/libshared.a
CLIENT_LIB := $(B)/libclient.a
ONNX_LIB   := $(B)/libonnxclient.a

$(B)/obj/shared/%.o: DIR_CFLAGS := -fPIC -fvisibility=hidden
$(B)/obj/shared/onnx/%.o: DIR_CFLAGS := -fPIC -fvisibility=hidden $(PROTOBUF_C_CFLAGS)
$(B)/obj/gen/onnx/%.o: DIR_CFLAGS := -fPIC -fvisibility=hidden $(PROTOBUF_C_CFLAGS)

$(call archive,libshared,$(call objects,$(SHARED_SRCS)))
$(call archive,libclient,$(call objects,$(CLIENT_SRCS)))

ifneq ($(CLIENT_SRCS),)
$(call shared_library,libooo,$(call objects,$(CLIENT_SRCS)),$(SHARED_LIB),shared/client/libooo.map,-lm)
PUBLIC_HEADERS += shared/client/ooo.h
PC_FILES       += $(B)/lib/pkgconfig/libooo.pc
$(B)/lib/pkgconfig/libooo.pc: shared/client/libooo.pc.in
endif

# ---- ONNX: the messages come from the distribution's schema --------------------

ONNX_PB := $(B)/gen/onnx/onnx.pb-c

# The schema may be called onnx-ml.proto; the code that uses it need not know.
$(ONNX_PB).c: $(ONNX_PROTO)
	$(call say,PROTOC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)cp $(ONNX_PROTO) $(@D)/onnx.proto
	$(Q)$(PROTOC_C) --proto_path=$(@D) --c_out=$(@D) $(@D)/onnx.proto
$(ONNX_PB).h: $(ONNX_PB).c

ONNX_PB_OBJ := $(B)/obj/gen/onnx/onnx.pb-c.o
$(call objects,$(ONNX_SRCS)): | $(ONNX_PB).h

$(call archive,libonnxclient,$(call objects,$(ONNX_SRCS)) $(if $(ONNX_SRCS),$(ONNX_PB_OBJ)))

ifneq ($(and $(ONNX_SRCS),$(CLIENT_SRCS)),)
$(call shared_library,libooo-onnx,$(call objects,$(ONNX_SRCS)) $(ONNX_PB_OBJ),$(SHARED_LIB),shared/onnx/libooo-onnx.map,$(B)/lib/libooo.so $(PROTOBUF_C_LIBS) -lz -lm $(RPATH_LIB))
$(B)/lib/libooo-onnx.so.$(VERSION): | $(B)/lib/libooo.so
PUBLIC_HEADERS += shared/onnx/ooo-onnx.h
PC_FILES       += $(B)/lib/pkgconfig/libooo-onnx.pc
$(B)/lib/pkgconfig/libooo-onnx.pc: shared/onnx/libooo-onnx.pc.in
endif

# ---- public headers: <ooo/ooo.h> and what it includes, as they are installed ----

# In the tree a header says "shared/abi/x.h"; installed it says <ooo/abi/x.h>.
PUBLIC_SED := -e 's|"shared/abi/\([^"]*\)"|<ooo/abi/\1>|' \
	      -e 's|"shared/client/\([^"]*\)"|<ooo/\1>|' \
	      -e 's|"shared/onnx/\([^"]*\)"|<ooo/\1>|'

ifneq ($(PUBLIC_HEADERS),)
HEADERS_STAMP := $(B)/include/.stamp
$(HEADERS_STAMP): $(wildcard shared/abi/* shared/client/*.h shared/onnx/*.h) shared/shared.mk
	$(call say,HEADERS,$(@D)/ooo)
	$(Q)rm -rf $(@D) && mkdir -p $(@D)/ooo/abi
	$(Q)for h in $$($(CC) $(INCLUDES) -MM $(PUBLIC_HEADERS) | tr -d '\\' | tr ' ' '\n' | \
			grep '^shared/' | sort -u); do \
		case $$h in \
		shared/abi/*) to=$(@D)/ooo/abi/$${h##*/} ;; \
		shared/client/* | shared/onnx/*) to=$(@D)/ooo/$${h##*/} ;; \
		*) echo "$$h: a public header may not include this" >&2; exit 1 ;; \
		esac; \
		sed $(PUBLIC_SED) $$h >$$to || exit 1; \
	done
	$(Q)touch $@
endif
