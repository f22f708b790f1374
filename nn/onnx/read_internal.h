/* What the files that read ONNX share. A graph is read node by node in the file's order (which is topological): read.c keeps its values, operators.c
 * turns operators into nodes of the model, constant.c reads constants and attributes, simplify.c tidies the model up. */
#ifndef SOTTO_NN_ONNX_READ_INTERNAL_H
#define SOTTO_NN_ONNX_READ_INTERNAL_H

#include <nn/onnx/onnx.pb-c.h>

#include "nn/onnx/onnx.h"

#define ONNX_RANK_MAX 8
#define ONNX_NAME_SHOWN 64 /* bytes of a name in messages, with its terminator */

enum { ONNX_FLOAT = 1, ONNX_INT32 = 6, ONNX_INT64 = 7 };

typedef enum value_kind { VALUE_NONE, VALUE_TENSOR, VALUE_INTS, VALUE_ACTIVATION } value_kind;

/* What a name of the graph stands for: a constant (a tensor of the file, or whole numbers computed here) or a value that depends on the image. */
typedef struct value {
    const char *name;
    value_kind kind;
    const Onnx__TensorProto *tensor;
    int64_t ints[ONNX_RANK_MAX];
    unsigned int_count;
    int scalar; /* ints: a single number of rank 0 */
    /* Activation: polynomial of the output of a node; SOTTO_POLY_TERMS coefficients a channel, lowest degree first; NULL: the output itself. */
    uint32_t node;
    double *poly;
    unsigned rank;  /* dimensions without the batch: 3 c, h, w; 2 c and a 1; 1 flat, the node's shape is c x 1 x 1 */
    int softmax;    /* a softmax was left out: nothing may come after it */
    size_t at;      /* 1 + the node of the graph that gives it; 0: the input or an initialiser */
} value;

typedef struct reader {
    sotto_model *m;
    const Onnx__GraphProto *graph;
    const Onnx__NodeProto *node; /* at hand; NULL before the first and after the last */
    size_t at;                   /* 1 + its index; 0 before the first */
    const sotto_onnx_options *options;
    int64_t opset, batch;
    value *values; /* value_cap, allocated once: pointers stay valid */
    size_t value_count, value_cap;
    uint32_t *slots; /* open addressing: index of a value + 1 */
    size_t slot_count; /* a power of two */
    size_t floats_left; /* what the weights and coefficients may still take */
    double **affine;    /* per node of m: the coefficients that sotto_onnx_settle made a batch norm of, or NULL; owned */
    size_t *order;      /* per node of m: the `at` that it comes from */
} reader;

/* ---- read.c */
/* "node N (Op): ..." in front of a message; _refuse is SOTTO_ERR_UNSUPPORTED, _broken SOTTO_ERR_FORMAT. */
int sotto_onnx_refuse(const reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
int sotto_onnx_broken(const reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A name of the file as it can be shown: control characters are '?'. */
const char *sotto_onnx_shown(const char *name, char out[ONNX_NAME_SHOWN]);
value *sotto_onnx_find(const reader *r, const char *name); /* NULL when there is none */
/* Gives a name to a value. SOTTO_ERR_FORMAT when it is taken. */
SOTTO_MUST_CHECK int sotto_onnx_define(reader *r, const char *name, const value *v);
/* Input i of the node at hand: NULL in *v where it is absent. */
SOTTO_MUST_CHECK int sotto_onnx_input(reader *r, size_t i, value **v);
/* The same as an activation whose polynomial has become a node. */
SOTTO_MUST_CHECK int sotto_onnx_activation(reader *r, size_t i, value **v);
SOTTO_MUST_CHECK int sotto_onnx_settle(reader *r, value *v);
/* Output 0 of the node at hand. */
SOTTO_MUST_CHECK int sotto_onnx_output(reader *r, uint32_t node, unsigned rank);
/* `count` zeros from the budget. SOTTO_ERR_LIMIT, SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_onnx_floats(reader *r, float **out, size_t count);
SOTTO_MUST_CHECK int sotto_onnx_poly(reader *r, double **out, uint32_t channels);
/* Appends a node whose shape is set, named after graph node `at` unless it has a name; its tensors and units are the model's or, on failure,
 * released. */
SOTTO_MUST_CHECK int sotto_onnx_add(reader *r, sotto_node *n, size_t at, uint32_t *index);
void sotto_onnx_note(const reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- operators.c */
SOTTO_MUST_CHECK int sotto_onnx_operator(reader *r); /* the node at hand */

/* ---- constant.c */
/* A constant of floats, read in place. */
typedef struct floats_view {
    const uint8_t *raw; /* little-endian, or */
    const float *list;
    size_t count;
    unsigned rank;
    size_t dims[ONNX_RANK_MAX];
} floats_view;
float sotto_onnx_float(const floats_view *v, size_t i);
/* SOTTO_ERR_UNSUPPORTED: not a constant, another type, data in another file; SOTTO_ERR_FORMAT: data that do not fit the shape or are not finite;
 * SOTTO_ERR_LIMIT. */
SOTTO_MUST_CHECK int sotto_onnx_floats_of(const reader *r, const value *v, floats_view *out);
/* At most `max` whole numbers. */
SOTTO_MUST_CHECK int sotto_onnx_ints_of(const reader *r, const value *v, int64_t *out, size_t max, size_t *count);
/* Attributes of the node at hand; absent ones leave *out as it is (ints: *count 0). */
SOTTO_MUST_CHECK int sotto_onnx_attribute_int(const reader *r, const char *name, int64_t *out);
SOTTO_MUST_CHECK int sotto_onnx_attribute_float(const reader *r, const char *name, float *out);
SOTTO_MUST_CHECK int sotto_onnx_attribute_ints(const reader *r, const char *name, int64_t *out, size_t max, size_t *count);
/* *out: index of the string in `choices` (ends in NULL). */
SOTTO_MUST_CHECK int sotto_onnx_attribute_choice(const reader *r, const char *name, const char *const *choices, unsigned *out);
const Onnx__AttributeProto *sotto_onnx_attribute(const reader *r, const char *name); /* NULL: absent */

/* ---- simplify.c */
/* Makes node `output` the last of m: folds affine nodes (r->affine), drops what the output does not need, brings the rest into the file's order
 * (polynomials were appended when they were read). SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_onnx_simplify(reader *r, uint32_t output);

#endif
