#include "ot/lookup.h"

#include <string.h>

#include "lib/bytes.h"
#include "lib/ct.h"
#include "lib/mem.h"

#define WORDS_MAX 4 /* H <= 256 */
#define UNITS 16    /* per batch: tables of a batch are whole bytes for every u */

static unsigned table_bits(unsigned u)
{
    return 1u << (u - 1);
}

/* A table in memory: words of 64 entries, the last one partly used when u < 7. */
static unsigned table_words(unsigned u)
{
    return u > 7 ? table_bits(u) / 64 : 1;
}

static unsigned word_bits(unsigned u)
{
    return u > 7 ? 64 : table_bits(u);
}

size_t sotto_lookup_table_bytes(unsigned u, size_t count)
{
    return count > SIZE_MAX / WORDS_MAX ? SIZE_MAX : sotto_packed_bytes(count * table_words(u), word_bits(u));
}

/* The widths that table_words and the buffers of WORDS_MAX words a unit are made for. */
static int check_width(unsigned u)
{
    if (u < SOTTO_LOOKUP_U_MIN || u > SOTTO_LOOKUP_U_MAX) {
        return sotto_fail(SOTTO_ERR_ARG, "sign lookup of %u bits: u is 2 to 9; use the circuit for wider signs", u);
    }
    return SOTTO_OK;
}

/* Bits x of word w whose index has bit i set. */
static uint64_t index_mask(unsigned i, unsigned w)
{
    static const uint64_t low[6] = {0xaaaaaaaaaaaaaaaa, 0xcccccccccccccccc, 0xf0f0f0f0f0f0f0f0,
                                    0xff00ff00ff00ff00, 0xffff0000ffff0000, 0xffffffff00000000};
    return i < 6 ? low[i] : 0 - (uint64_t)((w >> (i - 6)) & 1);
}

int sotto_lookup_pads(uint8_t *pads, unsigned u, size_t count, const sotto_ot *ot, uint64_t first, const sotto_block *q,
                      const uint8_t *flips)
{
    if (check_width(u) != SOTTO_OK) {
        return SOTTO_ERR_ARG;
    }
    const unsigned bits = u - 1, words = table_words(u);
    const size_t batch = UNITS * bits;
    sotto_block *key = sotto_calloc(batch, 2 * sizeof *key);
    uint64_t *table = sotto_calloc(UNITS * words, sizeof *table);
    if (key == NULL || table == NULL) {
        sotto_free(key);
        sotto_free(table);
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for sign tables");
    }
    sotto_block *k0 = key, *k1 = key + batch;
    sotto_writer w;
    sotto_writer_init(&w, pads, sotto_lookup_table_bytes(u, count));
    for (size_t done = 0; done < count; done += UNITS) {
        const size_t n = count - done < UNITS ? count - done : UNITS, at = done * bits;
        memset(table, 0, UNITS * words * sizeof *table);
        for (unsigned block = 0; block < (words + 1) / 2; block++) {
            sotto_ot_keys_send(ot, first + at, n * bits, (uint16_t)block, q + at, k0, k1);
            for (size_t i = 0; i < n; i++) {
                for (unsigned j = 0; j < bits; j++) {
                    const size_t o = i * bits + j;
                    const uint64_t flip = sotto_ct_mask(sotto_bit(flips, at + o));
                    for (unsigned half = 0; half < 2 && 2 * block + half < words; half++) {
                        const unsigned word = 2 * block + half;
                        table[i * words + word] ^=
                            sotto_ct_select(index_mask(j, word) ^ flip, k1[o].w[half], k0[o].w[half]);
                    }
                }
            }
        }
        sotto_write_packed(&w, table, n * words, word_bits(u));
    }
    sotto_free_secret(key, batch, 2 * sizeof *key);
    sotto_free_secret(table, UNITS * words, sizeof *table);
    return w.status;
}

/* Bits x of word w with x >= from, 0 <= from <= 256, without a branch on from. */
static uint64_t from_mask(uint64_t from, unsigned w)
{
    const uint64_t start = 64 * (uint64_t)w;
    const uint64_t inside = ~UINT64_C(0) << ((from - start) & 63);
    const uint64_t at_or_below = ~sotto_ct_lt(start, from);      /* from <= start: all of the word */
    const uint64_t beyond = ~sotto_ct_lt(from, start + 64);      /* none of it */
    return sotto_ct_select(at_or_below, ~UINT64_C(0), inside & ~beyond);
}

void sotto_lookup_tables(uint8_t *out, unsigned u, size_t count, const uint8_t *pads, const uint64_t *a, const uint64_t *pi)
{
    const unsigned bits = u - 1, words = table_words(u);
    uint64_t table[UNITS * WORDS_MAX];
    sotto_reader r;
    sotto_writer w;
    sotto_reader_init(&r, pads, sotto_lookup_table_bytes(u, count));
    sotto_writer_init(&w, out, sotto_lookup_table_bytes(u, count));
    for (size_t done = 0; done < count; done += UNITS) {
        const size_t n = count - done < UNITS ? count - done : UNITS;
        sotto_read_packed(&r, table, n * words, word_bits(u));
        for (size_t i = 0; i < n; i++) {
            const uint64_t low = sotto_low_bits(a[done + i], bits), top = (a[done + i] >> bits) & 1;
            const uint64_t all = sotto_ct_mask(1 ^ top ^ pi[done + i]);
            for (unsigned word = 0; word < words; word++) {
                table[i * words + word] ^= all ^ from_mask(table_bits(u) - low, word);
            }
        }
        sotto_write_packed(&w, table, n * words, word_bits(u));
    }
    sotto_wipe(table, sizeof table);
}

/* Bit `index` (secret) of a table. Shifts by a register take the same time for every count on the CPUs that this runs on. */
static uint64_t pick(const uint64_t *table, unsigned words, uint64_t index)
{
    uint64_t bit = 0;
    for (unsigned word = 0; word < words; word++) {
        bit |= sotto_ct_eq(index >> 6, word) & (table[word] >> (index & 63));
    }
    return bit & 1;
}

int sotto_lookup_pad(uint64_t *pad, unsigned u, size_t count, const sotto_ot *ot, uint64_t first, const sotto_block *t,
                     const uint64_t *c)
{
    if (check_width(u) != SOTTO_OK) {
        return SOTTO_ERR_ARG;
    }
    const unsigned bits = u - 1, words = table_words(u);
    const size_t batch = UNITS * bits;
    sotto_block *key = sotto_calloc(batch, sizeof *key);
    if (key == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for sign tables");
    }
    uint64_t sum[UNITS * WORDS_MAX];
    for (size_t done = 0; done < count; done += UNITS) {
        const size_t n = count - done < UNITS ? count - done : UNITS, at = done * bits;
        memset(sum, 0, sizeof sum);
        for (unsigned block = 0; block < (words + 1) / 2; block++) {
            sotto_ot_keys_recv(ot, first + at, n * bits, (uint16_t)block, t + at, key);
            for (size_t o = 0; o < n * bits; o++) {
                for (unsigned half = 0; half < 2 && 2 * block + half < words; half++) {
                    sum[o / bits * words + 2 * block + half] ^= key[o].w[half];
                }
            }
        }
        for (size_t i = 0; i < n; i++) {
            pad[done + i] = pick(sum + i * words, words, sotto_low_bits(c[done + i], bits));
        }
    }
    sotto_free_secret(key, batch, sizeof *key);
    sotto_wipe(sum, sizeof sum);
    return SOTTO_OK;
}

void sotto_lookup_open(uint64_t *b, unsigned u, size_t count, const uint8_t *tables, const uint64_t *pad, const uint64_t *c)
{
    const unsigned bits = u - 1, words = table_words(u);
    uint64_t table[UNITS * WORDS_MAX];
    sotto_reader r;
    sotto_reader_init(&r, tables, sotto_lookup_table_bytes(u, count));
    for (size_t done = 0; done < count; done += UNITS) {
        const size_t n = count - done < UNITS ? count - done : UNITS;
        sotto_read_packed(&r, table, n * words, word_bits(u));
        for (size_t i = 0; i < n; i++) {
            const uint64_t own = c[done + i];
            b[done + i] = pick(table + i * words, words, sotto_low_bits(own, bits)) ^ pad[done + i] ^ ((own >> bits) & 1);
        }
    }
    sotto_wipe(table, sizeof table);
}
