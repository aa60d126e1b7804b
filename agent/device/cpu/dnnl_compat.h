/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oneDNN's C API changed between 2.x (Debian 12) and 3.x (Ubuntu 24.04): memory descriptors became
 * opaque, operation descriptors went away, output scales became run-time arguments. Everything that
 * differs is here; the rest of the device is written once. Goes when 2.x does (Debian 12: mid-2028).
 */
#ifndef OOO_AGENT_DNNL_COMPAT_H
#define OOO_AGENT_DNNL_COMPAT_H

#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define DNNL_V3 (DNNL_VERSION_MAJOR >= 3)

#if DNNL_V3
typedef dnnl_memory_desc_t md_t;
typedef const_dnnl_memory_desc_t md_arg;
#define MD(m)   (m)
#define MD_NONE NULL
#else
typedef dnnl_memory_desc_t md_t;
typedef const dnnl_memory_desc_t *md_arg;
#define MD(m)   (&(m))
#define MD_NONE NULL
#endif

/* oneDNN takes arrays of a fixed length, of which it reads the first nr. */
static inline void copy_dims(dnnl_dims_t to, int nr, const dnnl_dim_t *from)
{
	memset(to, 0, sizeof(dnnl_dims_t));
	memcpy(to, from, (size_t)nr * sizeof(*from));
}

static inline int md_tag(md_t *md, int nr, const dnnl_dim_t *dims, dnnl_format_tag_t tag)
{
	dnnl_dims_t d;

	copy_dims(d, nr, dims);
#if DNNL_V3
	return dnnl_memory_desc_create_with_tag(md, nr, d, dnnl_f32, tag);
#else
	return dnnl_memory_desc_init_by_tag(md, nr, d, dnnl_f32, tag);
#endif
}

static inline int md_strides(md_t *md, int nr, const dnnl_dim_t *dims, const dnnl_dim_t *strides)
{
	dnnl_dims_t d, s;

	copy_dims(d, nr, dims);
	copy_dims(s, nr, strides);
#if DNNL_V3
	return dnnl_memory_desc_create_with_strides(md, nr, d, dnnl_f32, s);
#else
	return dnnl_memory_desc_init_by_strides(md, nr, d, dnnl_f32, s);
#endif
}

static inline void md_drop(md_t *md)
{
#if DNNL_V3
	if (*md)
		dnnl_memory_desc_destroy(*md);
	*md = NULL;
#else
	(void)md;
#endif
}

static inline int pd_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t alg, float alpha, float beta)
{
#if DNNL_V3
	return dnnl_post_ops_append_eltwise(ops, alg, alpha, beta);
#else
	return dnnl_post_ops_append_eltwise(ops, 1.0f, alg, alpha, beta);
#endif
}

static inline int pd_sum(dnnl_post_ops_t ops)
{
#if DNNL_V3
	return dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef);
#else
	return dnnl_post_ops_append_sum(ops, 1.0f);
#endif
}

static inline int memory_md(dnnl_memory_t mem, md_arg *md)
{
	return dnnl_memory_get_memory_desc(mem, md);
}

struct conv_geometry {
	dnnl_dims_t stride, dilate, pad_l,
		pad_r; /* two each, height and width; dilate: 0 = dense */
};

static inline int pd_conv(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, bool transposed,
			  md_arg src, md_arg weights, md_arg bias, md_arg dst,
			  const struct conv_geometry *g, const_dnnl_primitive_attr_t attr)
{
#if DNNL_V3
	if (transposed)
		return dnnl_deconvolution_forward_primitive_desc_create(
			pd, engine, dnnl_forward_inference, dnnl_deconvolution_direct, src, weights,
			bias, dst, g->stride, g->dilate, g->pad_l, g->pad_r, attr);
	return dnnl_convolution_forward_primitive_desc_create(pd, engine, dnnl_forward_inference,
							      dnnl_convolution_direct, src, weights,
							      bias, dst, g->stride, g->dilate,
							      g->pad_l, g->pad_r, attr);
#else
	dnnl_convolution_desc_t cd;
	dnnl_deconvolution_desc_t dd;
	int err;

	if (transposed) {
		err = dnnl_dilated_deconvolution_forward_desc_init(&dd, dnnl_forward_inference,
								   dnnl_deconvolution_direct, src,
								   weights, bias, dst, g->stride,
								   g->dilate, g->pad_l, g->pad_r);
		return err ? err : (int)dnnl_primitive_desc_create(pd, &dd, attr, engine, NULL);
	}
	err = dnnl_dilated_convolution_forward_desc_init(&cd, dnnl_forward_inference,
							 dnnl_convolution_direct, src, weights,
							 bias, dst, g->stride, g->dilate, g->pad_l,
							 g->pad_r);
	return err ? err : (int)dnnl_primitive_desc_create(pd, &cd, attr, engine, NULL);
#endif
}

static inline int pd_matmul(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, md_arg src,
			    md_arg weights, md_arg bias, md_arg dst,
			    const_dnnl_primitive_attr_t attr)
{
#if DNNL_V3
	return dnnl_matmul_primitive_desc_create(pd, engine, src, weights, bias, dst, attr);
#else
	dnnl_matmul_desc_t d;
	int err = dnnl_matmul_desc_init(&d, src, weights, bias, dst);

	return err ? err : (int)dnnl_primitive_desc_create(pd, &d, attr, engine, NULL);
#endif
}

static inline int pd_pool(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, dnnl_alg_kind_t alg,
			  md_arg src, md_arg dst, const dnnl_dims_t kernel,
			  const struct conv_geometry *g, const_dnnl_primitive_attr_t attr)
{
#if DNNL_V3
	return dnnl_pooling_forward_primitive_desc_create(pd, engine, dnnl_forward_inference, alg,
							  src, dst, g->stride, kernel, g->dilate,
							  g->pad_l, g->pad_r, attr);
#else
	dnnl_pooling_v2_desc_t d;
	int err =
		dnnl_pooling_v2_forward_desc_init(&d, dnnl_forward_inference, alg, src, dst,
						  g->stride, kernel, g->dilate, g->pad_l, g->pad_r);

	return err ? err : (int)dnnl_primitive_desc_create(pd, &d, attr, engine, NULL);
#endif
}

static inline int pd_softmax(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, bool log, md_arg src,
			     md_arg dst, int axis, const_dnnl_primitive_attr_t attr)
{
#if DNNL_V3
	return dnnl_softmax_forward_primitive_desc_create(
		pd, engine, dnnl_forward_inference, log ? dnnl_softmax_log : dnnl_softmax_accurate,
		src, dst, axis, attr);
#else
	dnnl_softmax_v2_desc_t d;
	int err = dnnl_softmax_v2_forward_desc_init(&d, dnnl_forward_inference,
						    log ? dnnl_softmax_log : dnnl_softmax_accurate,
						    src, dst, axis);

	return err ? err : (int)dnnl_primitive_desc_create(pd, &d, attr, engine, NULL);
#endif
}

static inline int pd_layer_norm(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, md_arg src,
				md_arg dst, float epsilon, bool shift,
				const_dnnl_primitive_attr_t attr)
{
	unsigned flags = dnnl_use_scale | (shift ? dnnl_use_shift : 0u);
#if DNNL_V3
	return dnnl_layer_normalization_forward_primitive_desc_create(
		pd, engine, dnnl_forward_inference, src, dst, NULL, epsilon, flags, attr);
#else
	dnnl_layer_normalization_desc_t d;
	int err = dnnl_layer_normalization_forward_desc_init(&d, dnnl_forward_inference, src, NULL,
							     epsilon, flags);

	(void)dst; /* 2.x gives dst the layout of src */
	return err ? err : (int)dnnl_primitive_desc_create(pd, &d, attr, engine, NULL);
#endif
}

static inline int pd_lrn(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, md_arg src, md_arg dst,
			 int size, float alpha, float beta, float k,
			 const_dnnl_primitive_attr_t attr)
{
#if DNNL_V3
	return dnnl_lrn_forward_primitive_desc_create(pd, engine, dnnl_forward_inference,
						      dnnl_lrn_across_channels, src, dst, size,
						      alpha, beta, k, attr);
#else
	dnnl_lrn_desc_t d;
	int err = dnnl_lrn_forward_desc_init(&d, dnnl_forward_inference, dnnl_lrn_across_channels,
					     src, size, alpha, beta, k);

	(void)dst;
	return err ? err : (int)dnnl_primitive_desc_create(pd, &d, attr, engine, NULL);
#endif
}

#endif
