#include "ot/softspoken_internal.h"

#include <string.h>

#include "lib/ct.h"
#include "lib/mem.h"
#include "ot/kernels.h"

/* What the sender reads at once: enough to go past the channel's read-ahead, little enough to stay in the
 * second-level cache. */
#define READ_BYTES ((size_t)1 << 18)
/* Chunks that the receiver writes at once, 65536 OTs: with IKNP 1 MB, which the channel does not copy. */
#define WRITE_CHUNKS ((size_t)32)

struct sotto_softspoken {
    const sotto_ot_kernels *kernels;
    unsigned k;
    size_t bytes;       /* of the one allocation */
    uint64_t next;      /* block of every generator that comes next */
    sotto_block offset; /* at the sender; zero at the receiver */
    uint8_t *column;    /* SOTTO_OT_COLUMNS columns of a chunk */
    uint8_t *wire;      /* of the matrix, READ_BYTES or WRITE_CHUNKS chunks */
    uint8_t *leaf;      /* 2^k columns, scratch */
    /* Of the leaves, piece by piece: 2^k at the receiver in the order of x, 2^k - 1 at the sender in that of y. */
    sotto_aes_key *key;
};

static size_t pieces(unsigned k)
{
    return (SOTTO_OT_COLUMNS + k - 1) / k;
}

/* Bits of piece i: k, or what is left for the last. */
static unsigned depth_of(unsigned k, size_t i)
{
    const unsigned left = SOTTO_OT_COLUMNS - (unsigned)i * k;
    return left < k ? left : k;
}

static size_t padded(size_t count)
{
    return (count + 127) / 128 * 128;
}

size_t sotto_softspoken_setup_bytes(unsigned k)
{
    return (SOTTO_OT_COLUMNS - pieces(k)) * 2 * sizeof(sotto_block); /* every base OT but the first of each piece */
}

size_t sotto_softspoken_wire_bytes(unsigned k, size_t count)
{
    return count > SIZE_MAX / 32 ? SIZE_MAX : padded(count) / 8 * pieces(k);
}

static size_t chunk_wire(unsigned k)
{
    return pieces(k) * SOTTO_OT_COLUMN_BYTES;
}

static sotto_softspoken *allocate(unsigned k, size_t wire)
{
    const size_t columns = SOTTO_OT_COLUMNS * SOTTO_OT_COLUMN_BYTES, leaves = (size_t)SOTTO_OT_COLUMN_BYTES << k;
    const size_t keys = pieces(k) * ((size_t)1 << k) * sizeof(sotto_aes_key);
    const size_t head = (sizeof(sotto_softspoken) + 63) / 64 * 64;
    const size_t bytes = head + columns + wire + leaves + keys;
    uint8_t *p = sotto_calloc(bytes, 1);
    if (p == NULL) {
        return NULL;
    }
    sotto_softspoken *s = (sotto_softspoken *)(void *)p;
    *s = (sotto_softspoken){.kernels = sotto_ot_kernels_choose(), .k = k, .bytes = bytes, .column = p + head};
    s->wire = s->column + columns;
    s->leaf = s->wire + wire;
    s->key = (sotto_aes_key *)(void *)(s->leaf + leaves);
    return s;
}

void sotto_softspoken_free(sotto_softspoken *s)
{
    if (s != NULL) {
        sotto_free_secret(s, s->bytes, 1);
    }
}

/* ---- trees ----------------------------------------------------------------------------------------------------- */

typedef sotto_block nodes[1u << SOTTO_SOFTSPOKEN_K_MAX];

/* Nodes 0 .. count - 1 of a level become their children, AES_node(0) and AES_node(1), at 2 j and 2 j + 1; sum[b]: of
 * all children with lowest bit b. */
static void grow(nodes node, size_t count, sotto_block sum[2])
{
    nodes child = {{{0, 0}}};
    sum[0] = sum[1] = child[0];
    for (size_t j = 0; j < 2 * count; j++) {
        child[j].w[0] = j & 1;
    }
    sotto_aes_encrypt_rekeyed(child, child, 2 * count, node, 2);
    for (size_t j = 0; j < 2 * count; j++) {
        sum[j & 1] = sotto_block_xor(sum[j & 1], child[j]);
        node[j] = child[j];
    }
    sotto_wipe(child, 2 * count * sizeof *child);
}

/* Level j of a tree decides bit depth - 1 - j of the numbers of its leaves, by the base OT of that bit of the piece. A
 * party that holds key b there knows the children with bit b: all that the sender lacks is the leaf whose number is the
 * complement of the piece. So a leaf is called by the complement of its number, and the lacking one is x = piece. */
int sotto_softspoken_new_receiver(sotto_softspoken **out, unsigned k, sotto_block keys[SOTTO_BASE_OTS][2],
                                  uint8_t *setup)
{
    sotto_softspoken *s = allocate(k, WRITE_CHUNKS * chunk_wire(k));
    *out = s;
    if (s == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for an OT extension");
    }
    nodes node;
    sotto_block sum[2];
    for (size_t i = 0; i < pieces(k); i++) {
        const unsigned depth = depth_of(k, i);
        const size_t leaves = (size_t)1 << depth;
        sotto_block (*const own)[2] = keys + i * k;
        memcpy(node, own[depth - 1], 2 * sizeof *node);
        for (unsigned level = 1; level < depth; level++) {
            const unsigned ot = depth - 1 - level;
            grow(node, (size_t)1 << level, sum);
            for (unsigned b = 0; b < 2; b++, setup += sizeof *sum) {
                sum[b] = sotto_block_xor(sum[b], own[ot][b]);
                memcpy(setup, &sum[b], sizeof *sum);
            }
        }
        for (size_t x = 0; x < leaves; x++) {
            sotto_aes_expand(&s->key[(i << k) + x], node[leaves - 1 - x]);
        }
    }
    sotto_wipe(node, sizeof node);
    sotto_wipe(sum, sizeof sum);
    return SOTTO_OK;
}

/* Exchanges a and b where mask is all ones. */
static void swap(sotto_block *a, sotto_block *b, uint64_t mask)
{
    const sotto_block difference = sotto_block_and(sotto_block_xor(*a, *b), mask);
    *a = sotto_block_xor(*a, difference);
    *b = sotto_block_xor(*b, difference);
}

/* The lacking node of a level is any value, here 0 or a child of one, and grows like the others. The one child to be
 * found is then off by (sum of the level's nodes of its side, as grown) xor (the true sum): adding that puts it right
 * whatever the value was. */
int sotto_softspoken_new_sender(sotto_softspoken **out, unsigned k, sotto_block offset,
                                const sotto_block keys[SOTTO_BASE_OTS], const uint8_t *setup)
{
    sotto_softspoken *s = allocate(k, READ_BYTES);
    *out = s;
    if (s == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for an OT extension");
    }
    s->offset = offset;
    nodes node;
    sotto_block sum[2], sealed[2];
    for (size_t i = 0; i < pieces(k); i++) {
        const unsigned depth = depth_of(k, i);
        const size_t leaves = (size_t)1 << depth;
        /* of the nodes that are known, secret: the lacking node's number with its lowest bit flipped */
        uint64_t path = 0;
        memset(node, 0, 2 * sizeof *node);
        for (unsigned level = 0; level < depth; level++) {
            const size_t ot = i * k + depth - 1 - level;
            const uint64_t bit = offset.w[ot / 64] >> (ot % 64) & 1, mask = sotto_ct_mask(bit);
            sotto_block right = keys[ot];
            if (level > 0) {
                grow(node, (size_t)1 << level, sum);
                memcpy(sealed, setup, sizeof sealed);
                setup += sizeof sealed;
                for (unsigned b = 0; b < 2; b++) {
                    const sotto_block off = sotto_block_xor(sealed[b], sum[b]);
                    right = sotto_block_xor(right, sotto_block_and(off, b ? mask : ~mask));
                }
            }
            path = (path ^ (level > 0)) << 1 | bit;
            s->kernels->patch(node, (size_t)2 << level, path, right);
            sotto_wipe(&right, sizeof right);
        }
        /* node[x] is leaf ~x, and ~x xor offset bits = y. */
        for (unsigned b = 0; b < depth; b++) {
            const size_t ot = i * k + b, half = (size_t)1 << b;
            const uint64_t mask = ~sotto_ct_mask(offset.w[ot / 64] >> (ot % 64) & 1);
            for (size_t x = 0; x < leaves; x++) {
                if ((x & half) == 0) {
                    swap(&node[x], &node[x | half], mask);
                }
            }
        }
        for (size_t y = 1; y < leaves; y++) {
            sotto_aes_expand(&s->key[i * (((size_t)1 << k) - 1) + y - 1], node[y]);
        }
    }
    sotto_wipe(node, sizeof node);
    sotto_wipe(sum, sizeof sum);
    return SOTTO_OK;
}

/* ---- extension ------------------------------------------------------------------------------------------------- */

int sotto_softspoken_recv(sotto_softspoken *s, sotto_chan *chan, const uint8_t *choices, size_t count, sotto_block *t)
{
    const sotto_ot_kernels *const kernels = s->kernels;
    uint8_t r[SOTTO_OT_COLUMN_BYTES], *u = s->wire;
    int status = SOTTO_OK;
    for (size_t done = 0; done < count && status == SOTTO_OK; done += SOTTO_OT_CHUNK) {
        const size_t left = count - done < SOTTO_OT_CHUNK ? count - done : SOTTO_OT_CHUNK, bytes = padded(left) / 8;
        /* Choices of the rows that pad a batch are 0; their OTs are never used. */
        memset(r, 0, sizeof r);
        memcpy(r, choices + done / 8, (left + 7) / 8);
        if (left % 8 != 0) {
            r[left / 8] = (uint8_t)sotto_low_bits(r[left / 8], (unsigned)(left % 8));
        }
        for (size_t i = 0; i < pieces(s->k); i++, u += bytes) {
            kernels->sums(s->column + i * s->k * bytes, u, s->leaf, s->key + (i << s->k), depth_of(s->k, i), 0,
                          s->next, bytes);
            kernels->add(u, r, UINT64_MAX, bytes);
        }
        s->next += bytes / sizeof(sotto_block);
        kernels->transpose(t + done, s->column, bytes, left);
        const size_t ready = (size_t)(u - s->wire);
        const int full = ready == WRITE_CHUNKS * chunk_wire(s->k), last = done + left == count;
        if (full || last) {
            status = sotto_chan_send(chan, s->wire, ready);
            u = s->wire;
        }
        if (status == SOTTO_OK && full) { /* so that the sender can start on it */
            status = sotto_chan_flush(chan);
        }
    }
    sotto_wipe(r, sizeof r);
    if (status != SOTTO_OK) {
        sotto_wipe(t, count * sizeof *t);
    }
    return status;
}

/* The sender's columns of a chunk before the matrix is added: sums of y g over its own leaves. */
static void own_columns(sotto_softspoken *s, size_t bytes)
{
    const sotto_ot_kernels *const kernels = s->kernels;
    const size_t own = ((size_t)1 << s->k) - 1;
    if (own == 1) { /* IKNP: the one leaf of a piece is its column */
        kernels->expand(s->column, s->key, SOTTO_OT_COLUMNS, s->next, bytes);
        return;
    }
    for (size_t i = 0; i < pieces(s->k); i++) {
        kernels->sums(s->column + i * s->k * bytes, s->leaf, s->leaf, s->key + i * own, depth_of(s->k, i), 1, s->next,
                      bytes);
    }
}

int sotto_softspoken_send(sotto_softspoken *s, sotto_chan *chan, size_t count, sotto_block *q)
{
    const size_t read_chunks = READ_BYTES / chunk_wire(s->k), most = read_chunks * chunk_wire(s->k);
    const uint8_t *u = s->wire;
    for (size_t done = 0, chunk = 0; done < count; done += SOTTO_OT_CHUNK, chunk++) {
        const size_t left = count - done < SOTTO_OT_CHUNK ? count - done : SOTTO_OT_CHUNK, bytes = padded(left) / 8;
        own_columns(s, bytes); /* first, so that it runs while the matrix is on its way */
        s->next += bytes / sizeof(sotto_block);
        if (chunk % read_chunks == 0) {
            const size_t rest = sotto_softspoken_wire_bytes(s->k, count - done);
            const int status = sotto_chan_recv(chan, s->wire, rest < most ? rest : most);
            if (status != SOTTO_OK) {
                sotto_wipe(q, count * sizeof *q);
                return status;
            }
            u = s->wire;
        }
        for (size_t j = 0; j < SOTTO_OT_COLUMNS; j++) {
            const uint64_t mask = sotto_ct_mask(s->offset.w[j / 64] >> (j % 64) & 1);
            s->kernels->add(s->column + j * bytes, u + j / s->k * bytes, mask, bytes);
        }
        u += pieces(s->k) * bytes;
        s->kernels->transpose(q + done, s->column, bytes, left);
    }
    return SOTTO_OK;
}
