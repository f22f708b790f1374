/* ONNX files for tests, from a few lines of text, by an encoder of the wire format that shares nothing with the reader:
 *
 *     opset 13
 *     input x N,3,8,8
 *     float w 2,3,1,1 = 1 -0.5 ...      an initialiser; fewer numbers than elements: they repeat
 *     int p 4 = 0 0 1 1
 *     Conv y x w - strides=2,2 group=1   output, inputs (- is an absent one), attributes: numbers with a point are floats, 'text' is a string,
 *     output y                           a list in brackets or with commas is one of whole numbers
 */
#ifndef SOTTO_TESTS_ONNX_GRAPH_H
#define SOTTO_TESTS_ONNX_GRAPH_H

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GRAPH_MAX 65536u

typedef struct graph_bytes {
    uint8_t data[GRAPH_MAX];
    size_t len;
} graph_bytes;

static inline void graph_raw(graph_bytes *b, const void *data, size_t len)
{
    if (len > sizeof b->data - b->len) {
        abort();
    }
    if (len > 0) {
        memcpy(b->data + b->len, data, len);
    }
    b->len += len;
}

static inline void graph_varint(graph_bytes *b, uint64_t v)
{
    do {
        const uint8_t byte = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        graph_raw(b, &byte, 1);
        v >>= 7;
    } while (v != 0);
}

static inline void graph_int(graph_bytes *b, unsigned field, int64_t v)
{
    graph_varint(b, field << 3);
    graph_varint(b, (uint64_t)v);
}

static inline void graph_block(graph_bytes *b, unsigned field, const void *data, size_t len)
{
    graph_varint(b, field << 3 | 2);
    graph_varint(b, len);
    graph_raw(b, data, len);
}

static inline void graph_float(graph_bytes *b, unsigned field, float v)
{
    graph_varint(b, field << 3 | 5);
    graph_raw(b, &v, sizeof v);
}

/* N or a number, with commas, as the dimensions of a value. */
static inline void graph_value_info(graph_bytes *out, unsigned field, const char *name, const char *dims)
{
    static graph_bytes shape, tensor, type, info;
    shape.len = tensor.len = type.len = info.len = 0;
    for (const char *p = dims; p != NULL && *p != '\0'; p = strchr(p, ',') != NULL ? strchr(p, ',') + 1 : NULL) {
        graph_bytes *dim = calloc(1, sizeof *dim);
        if (isdigit((unsigned char)*p)) {
            graph_int(dim, 1, atoll(p));
        } else {
            graph_block(dim, 2, "N", 1);
        }
        graph_block(&shape, 1, dim->data, dim->len);
        free(dim);
    }
    graph_int(&tensor, 1, 1);
    graph_block(&tensor, 2, shape.data, shape.len);
    graph_block(&type, 1, tensor.data, tensor.len);
    graph_block(&info, 1, name, strlen(name));
    if (dims != NULL) {
        graph_block(&info, 2, type.data, type.len);
    }
    graph_block(out, field, info.data, info.len);
}

/* name dims = numbers; dims "-" is rank 0. */
static inline void graph_tensor(graph_bytes *out, unsigned field, int is_float, char *name, char *dims, char *numbers)
{
    static graph_bytes t;
    double list[256];
    long long whole[256];
    size_t given = 0, count = 1;
    t.len = 0;
    for (char *p = strtok(dims, ","); p != NULL && strcmp(dims, "-") != 0; p = strtok(NULL, ",")) {
        count *= (size_t)atoll(p);
        graph_int(&t, 1, atoll(p));
    }
    for (char *p = strtok(numbers, " "); p != NULL && given < 256; p = strtok(NULL, " ")) {
        whole[given] = atoll(p);
        list[given++] = atof(p);
    }
    graph_int(&t, 2, is_float ? 1 : 7);
    graph_block(&t, 8, name, strlen(name));
    graph_varint(&t, 9 << 3 | 2);
    graph_varint(&t, count * (is_float ? 4 : 8));
    for (size_t i = 0; i < count; i++) {
        const float f = (float)list[i % given];
        const int64_t v = whole[i % given];
        graph_raw(&t, is_float ? (const void *)&f : (const void *)&v, is_float ? sizeof f : sizeof v);
    }
    graph_block(out, field, t.data, t.len);
}

static inline void graph_attribute(graph_bytes *node, char *word)
{
    static graph_bytes a;
    char *value = strchr(word, '=');
    *value++ = '\0';
    a.len = 0;
    graph_block(&a, 1, word, strlen(word));
    if (*value == '\'') {
        graph_block(&a, 4, value + 1, strlen(value) - 2);
        graph_int(&a, 20, 3);
    } else if (strchr(value, ',') != NULL || *value == '[') {
        for (char *p = strtok(value, "[],"); p != NULL; p = strtok(NULL, "[],")) {
            graph_int(&a, 8, atoll(p));
        }
        graph_int(&a, 20, 7);
    } else if (strchr(value, '.') != NULL) {
        graph_float(&a, 2, (float)atof(value));
        graph_int(&a, 20, 1);
    } else {
        graph_int(&a, 3, atoll(value));
        graph_int(&a, 20, 2);
    }
    graph_block(node, 5, a.data, a.len);
}

/* type output inputs attributes; the node is named after its output. */
static inline void graph_node(graph_bytes *graph, char *line)
{
    static graph_bytes node;
    char *words[32];
    size_t n = 0;
    node.len = 0;
    for (char *p = strtok(line, " "); p != NULL && n < 32; p = strtok(NULL, " ")) {
        words[n++] = p;
    }
    for (size_t i = 2; i < n && strchr(words[i], '=') == NULL; i++) {
        graph_block(&node, 1, words[i], strcmp(words[i], "-") == 0 ? 0 : strlen(words[i]));
    }
    graph_block(&node, 2, words[1], strlen(words[1]));
    graph_block(&node, 3, words[1], strlen(words[1]));
    graph_block(&node, 4, words[0], strlen(words[0]));
    for (size_t i = 2; i < n; i++) {
        if (strchr(words[i], '=') != NULL) {
            graph_attribute(&node, words[i]);
        }
    }
    graph_block(graph, 1, node.data, node.len);
}

/* The whole file. */
static inline void graph_make(graph_bytes *out, const char *text)
{
    static graph_bytes graph;
    char *copy = strdup(text);
    long long opset = 13;
    graph.len = out->len = 0;
    for (char *line = copy, *next; line != NULL && *line != '\0'; line = next) {
        char name[64], dims[64];
        next = strchr(line, '\n');
        if (next != NULL) {
            *next++ = '\0';
        }
        if (sscanf(line, "opset %lld", &opset) == 1) {
            continue;
        }
        dims[0] = '\0';
        if (sscanf(line, "input %63s %63s", name, dims) == 2) {
            graph_value_info(&graph, 11, name, dims);
        } else if (sscanf(line, "output %63s %63s", name, dims) >= 1) {
            graph_value_info(&graph, 12, name, dims[0] != '\0' ? dims : NULL);
        } else if (sscanf(line, "shape %63s %63s", name, dims) == 2) {
            graph_value_info(&graph, 13, name, dims);
        } else if (sscanf(line, "float %63s %63s", name, dims) == 2) {
            graph_tensor(&graph, 5, 1, name, dims, strchr(line, '=') + 1);
        } else if (sscanf(line, "int %63s %63s", name, dims) == 2) {
            graph_tensor(&graph, 5, 0, name, dims, strchr(line, '=') + 1);
        } else {
            graph_node(&graph, line);
        }
    }
    free(copy);
    graph_bytes *set = calloc(1, sizeof *set);
    graph_int(set, 2, opset);
    graph_int(out, 1, 7);
    graph_block(out, 8, set->data, set->len);
    graph_block(out, 7, graph.data, graph.len);
    free(set);
}

#endif
