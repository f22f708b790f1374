#include "ot/extension.h"

#include <string.h>

#include "lib/ct.h"
#include "lib/mem.h"
#include "lib/prg.h"
#include "ot/base.h"

/* OTs per round of the matrix: 128 columns of 256 bytes stay in the first-level cache together with what they are made of. */
#define CHUNK 2048
#define COLUMNS SOTTO_BASE_OTS
/* OTs of one direction in a session: 2^36 bytes of each generator (lib/prg.h), eight OTs a byte. */
#define OTS_MAX (UINT64_C(1) << 39)

struct sotto_ot {
    sotto_block salt;
    int party;
    sotto_block offset;             /* where this party sends: the base choices */
    sotto_prg send[COLUMNS];        /* k_j^{offset_j} */
    sotto_prg recv[COLUMNS][2];     /* both seeds of each column */
    uint64_t sent, received;        /* numbers used up */
    uint64_t column[COLUMNS][CHUNK / 64]; /* scratch */
    uint64_t wire[COLUMNS * CHUNK / 64];  /* scratch: a chunk of the matrix, column after column */
};

int sotto_ot_new(sotto_ot **out, sotto_chan *chan, const sotto_rng *rng, sotto_block salt, int party)
{
    *out = NULL;
    sotto_base_seeds seeds;
    sotto_ot *ot = sotto_calloc(1, sizeof *ot);
    if (ot == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for an OT session");
    }
    int status = sotto_rng_fill(rng, seeds.choices, sizeof seeds.choices);
    if (status == SOTTO_OK) {
        seeds.choices[0] |= 1; /* the permute bit of garbling: labels of one wire differ in their lowest bit */
        status = sotto_base_ot(&seeds, chan, rng, salt, party);
    }
    if (status == SOTTO_OK) {
        ot->salt = salt;
        ot->party = party;
        memcpy(&ot->offset, seeds.choices, sizeof ot->offset);
        for (size_t j = 0; j < COLUMNS; j++) {
            sotto_prg_init(&ot->send[j], seeds.received[j]);
            sotto_prg_init(&ot->recv[j][0], seeds.sent[j][0]);
            sotto_prg_init(&ot->recv[j][1], seeds.sent[j][1]);
        }
        *out = ot;
    } else {
        sotto_ot_free(ot);
    }
    sotto_wipe(&seeds, sizeof seeds);
    return status;
}

void sotto_ot_free(sotto_ot *ot)
{
    sotto_free_secret(ot, 1, sizeof *ot);
}

sotto_block sotto_ot_offset(const sotto_ot *ot)
{
    return ot->offset;
}

sotto_hash sotto_ot_hash(const sotto_ot *ot, sotto_hash_domain domain, int send)
{
    const int sender = send ? ot->party : 1 - ot->party;
    return (sotto_hash){ot->salt, (uint8_t)domain, (uint8_t)sender};
}

/* Batches are whole blocks of 128 rows, so that every call starts the generators at a block of their stream. */
static size_t padded(size_t count)
{
    return (count + 127) / 128 * 128;
}

size_t sotto_ot_wire_bytes(size_t count)
{
    return count > SIZE_MAX / 32 ? SIZE_MAX : padded(count) * (COLUMNS / 8);
}

/* Takes the numbers of `count` OTs off *used, also when the batch fails later: a number that was on the wire is gone. */
static int reserve(uint64_t *used, size_t count, uint64_t *first)
{
    if (count > OTS_MAX - *used || padded(count) > OTS_MAX - *used) {
        return sotto_fail(SOTTO_ERR_LIMIT, "%zu oblivious transfers are more than this session has left; connect again", count);
    }
    *first = *used;
    *used += padded(count);
    return SOTTO_OK;
}

/* Transposes 64 x 64 bits in place: row i, bit j <-> row j, bit i (Hacker's Delight 7-3, on halves of 32, 16, ... 1). */
static void transpose64(uint64_t m[64])
{
    static const uint64_t masks[6] = {0x00000000ffffffff, 0x0000ffff0000ffff, 0x00ff00ff00ff00ff,
                                      0x0f0f0f0f0f0f0f0f, 0x3333333333333333, 0x5555555555555555};
    for (unsigned step = 0; step < 6; step++) {
        const unsigned half = 32u >> step;
        const uint64_t mask = masks[step];
        for (unsigned i = 0; i < 64; i = (i + half + 1) & ~half) {
            const uint64_t swap = ((m[i] >> half) ^ m[i + half]) & mask;
            m[i] ^= swap << half;
            m[i + half] ^= swap;
        }
    }
}

/* Rows of `rows` (a multiple of 128) from the columns. */
static void transpose(sotto_block *out, uint64_t column[COLUMNS][CHUNK / 64], size_t rows, size_t count)
{
    uint64_t m[2][64];
    for (size_t w = 0; w < rows / 64; w++) {
        for (size_t half = 0; half < 2; half++) {
            for (size_t j = 0; j < 64; j++) {
                m[half][j] = column[64 * half + j][w];
            }
            transpose64(m[half]);
        }
        for (size_t i = 0; i < 64 && 64 * w + i < count; i++) {
            out[64 * w + i] = (sotto_block){{m[0][i], m[1][i]}};
        }
    }
    sotto_wipe(m, sizeof m);
}

int sotto_ot_send(sotto_ot *ot, sotto_chan *chan, size_t count, sotto_block *q, uint64_t *first)
{
    int status = reserve(&ot->sent, count, first);
    if (status != SOTTO_OK) {
        return status;
    }
    for (size_t done = 0; done < count; done += CHUNK) {
        const size_t left = count - done < CHUNK ? count - done : CHUNK, rows = padded(left), words = rows / 64;
        status = sotto_chan_recv(chan, ot->wire, COLUMNS * rows / 8);
        if (status != SOTTO_OK) {
            sotto_wipe(q, count * sizeof *q);
            return status;
        }
        for (size_t j = 0; j < COLUMNS; j++) {
            const uint64_t *u = ot->wire + j * words;
            const uint64_t mask = sotto_ct_mask((ot->offset.w[j / 64] >> (j % 64)) & 1);
            sotto_prg_fill(&ot->send[j], ot->column[j], rows / 8);
            for (size_t w = 0; w < words; w++) {
                ot->column[j][w] ^= mask & u[w];
            }
        }
        transpose(q + done, ot->column, rows, left);
    }
    return SOTTO_OK;
}

int sotto_ot_recv(sotto_ot *ot, sotto_chan *chan, const uint8_t *choices, size_t count, sotto_block *t, uint64_t *first)
{
    uint64_t r[CHUNK / 64];
    int status = reserve(&ot->received, count, first);
    if (status != SOTTO_OK) {
        return status;
    }
    for (size_t done = 0; done < count && status == SOTTO_OK; done += CHUNK) {
        const size_t left = count - done < CHUNK ? count - done : CHUNK, rows = padded(left), words = rows / 64;
        /* Choices of the rows that pad a batch are 0; their OTs are never used. */
        memset(r, 0, sizeof r);
        memcpy(r, choices + done / 8, (left + 7) / 8);
        if (left % 64 != 0) {
            r[left / 64] = sotto_low_bits(r[left / 64], (unsigned)(left % 64));
        }
        for (size_t j = 0; j < COLUMNS; j++) {
            uint64_t *u = ot->wire + j * words;
            sotto_prg_fill(&ot->recv[j][0], ot->column[j], rows / 8);
            sotto_prg_fill(&ot->recv[j][1], u, rows / 8);
            for (size_t w = 0; w < words; w++) {
                u[w] ^= ot->column[j][w] ^ r[w];
            }
        }
        status = sotto_chan_send(chan, ot->wire, COLUMNS * rows / 8);
        if (status == SOTTO_OK) {
            transpose(t + done, ot->column, rows, left);
        }
    }
    sotto_wipe(r, sizeof r);
    if (status != SOTTO_OK) {
        sotto_wipe(t, count * sizeof *t);
    }
    return status;
}

#define BATCH 64

void sotto_ot_keys_send(const sotto_ot *ot, uint64_t first, size_t count, uint16_t word, const sotto_block *q, sotto_block *k0,
                        sotto_block *k1)
{
    const sotto_hash hash = sotto_ot_hash(ot, SOTTO_DOMAIN_OT, 1);
    sotto_block pair[2 * BATCH];
    for (size_t done = 0; done < count; done += BATCH) {
        const size_t n = count - done < BATCH ? count - done : BATCH;
        for (size_t i = 0; i < n; i++) {
            pair[2 * i] = q[done + i];
            pair[2 * i + 1] = sotto_block_xor(q[done + i], ot->offset);
        }
        sotto_hash_blocks(&hash, word, 0, first + done, pair, pair, n, 2);
        for (size_t i = 0; i < n; i++) {
            k0[done + i] = pair[2 * i];
            k1[done + i] = pair[2 * i + 1];
        }
    }
    sotto_wipe(pair, sizeof pair);
}

void sotto_ot_keys_recv(const sotto_ot *ot, uint64_t first, size_t count, uint16_t word, const sotto_block *t, sotto_block *k)
{
    const sotto_hash hash = sotto_ot_hash(ot, SOTTO_DOMAIN_OT, 0);
    sotto_hash_blocks(&hash, word, 0, first, k, t, count, 1);
}

int sotto_ot_chosen_send(sotto_ot *ot, sotto_chan *chan, size_t count, const sotto_block *m0, const sotto_block *m1)
{
    sotto_block *q = sotto_calloc(count, 3 * sizeof *q);
    if (q == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu oblivious transfers", count);
    }
    sotto_block *k0 = q + count, *k1 = q + 2 * count;
    uint64_t first = 0;
    int status = sotto_ot_send(ot, chan, count, q, &first);
    if (status == SOTTO_OK) {
        sotto_ot_keys_send(ot, first, count, 0, q, k0, k1);
        for (size_t i = 0; i < count; i++) {
            k0[i] = sotto_block_xor(k0[i], m0[i]);
            k1[i] = sotto_block_xor(k1[i], m1[i]);
        }
        status = sotto_chan_send(chan, k0, 2 * count * sizeof *k0);
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_flush(chan);
    }
    sotto_free_secret(q, count, 3 * sizeof *q);
    return status;
}

int sotto_ot_chosen_recv(sotto_ot *ot, sotto_chan *chan, const uint8_t *choices, size_t count, sotto_block *out)
{
    sotto_block *t = sotto_calloc(count, 4 * sizeof *t);
    if (t == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu oblivious transfers", count);
    }
    sotto_block *key = t + count, *sealed = t + 2 * count;
    uint64_t first = 0;
    int status = sotto_ot_recv(ot, chan, choices, count, t, &first);
    if (status == SOTTO_OK) {
        status = sotto_chan_recv(chan, sealed, 2 * count * sizeof *sealed);
    }
    if (status == SOTTO_OK) {
        sotto_ot_keys_recv(ot, first, count, 0, t, key);
        for (size_t i = 0; i < count; i++) {
            const uint64_t mask = sotto_ct_mask(sotto_bit(choices, i));
            const sotto_block pick = sotto_block_xor(
                sealed[i], sotto_block_and(sotto_block_xor(sealed[i], sealed[count + i]), mask));
            out[i] = sotto_block_xor(pick, key[i]);
        }
    }
    sotto_free_secret(t, count, 4 * sizeof *t);
    return status;
}
