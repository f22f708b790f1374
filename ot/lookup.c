#include "ot/lookup.h"

#include <string.h>

#include "lib/bytes.h"
#include "lib/ct.h"
#include "lib/mem.h"
#include "ot/lookup_kernel.h"

#define WORDS_MAX 4  /* H <= 256 */
#define KEYS      512 /* OTs hashed at once: both keys and the tables of their units stay in L1 */
#define UNITS     256 /* tables worked on at once; a multiple of 8, so that they are whole bytes for every u */

static unsigned word_bits(unsigned u)
{
    return u > 7 ? 64 : 1u << (u - 1);
}

static const sotto_lookup_kernels *kernels(void)
{
#if defined(__x86_64__)
    const sotto_tier tier = sotto_cpu_tier();
    if (tier >= SOTTO_TIER_AVX512) {
        return &sotto_lookup_kernels_avx512;
    }
    if (tier >= SOTTO_TIER_AVX2) {
        return &sotto_lookup_kernels_avx2;
    }
#endif
    return &sotto_lookup_kernels_ref;
}

size_t sotto_lookup_table_bytes(unsigned u, size_t count)
{
    return count > SIZE_MAX / WORDS_MAX ? SIZE_MAX : sotto_packed_bytes(count * sotto_lookup_words(u), word_bits(u));
}

/* The packed tables of unit i, a multiple of 8. */
static size_t table_at(unsigned u, size_t i)
{
    return i * sotto_lookup_words(u) / 8 * word_bits(u);
}

static void read_tables(uint64_t *table, unsigned u, size_t count, const uint8_t *packed)
{
    sotto_unpack(table, packed, count * sotto_lookup_words(u), word_bits(u));
}

static void write_tables(uint8_t *packed, unsigned u, size_t count, const uint64_t *table)
{
    sotto_pack(packed, table, count * sotto_lookup_words(u), word_bits(u));
}

/* The widths that the buffers of WORDS_MAX words a unit are made for. */
static int check_table(unsigned u, unsigned k)
{
    if (k >= SOTTO_LOOKUP_TABLES) {
        return sotto_fail(SOTTO_ERR_ARG, "table %u of a sign lookup: there are %u", k, SOTTO_LOOKUP_TABLES);
    }
    if (u < SOTTO_LOOKUP_U_MIN || u > SOTTO_LOOKUP_U_MAX) {
        return sotto_fail(SOTTO_ERR_ARG, "sign lookup of %u bits: u is 2 to 9; use the circuit for wider signs", u);
    }
    return SOTTO_OK;
}

/* Units whose keys are hashed at once. */
static size_t batch_units(unsigned u)
{
    const size_t most = KEYS / (u - 1) / 8 * 8;
    return most < UNITS ? most : UNITS;
}

int sotto_lookup_pads(uint8_t *pads, unsigned u, unsigned k, size_t count, const sotto_ot *ot, uint64_t first, const sotto_block *q)
{
    if (check_table(u, k) != SOTTO_OK) {
        return SOTTO_ERR_ARG;
    }
    const unsigned bits = u - 1, words = sotto_lookup_words(u);
    const size_t batch = batch_units(u);
    sotto_block k0[KEYS], k1[KEYS];
    uint64_t table[UNITS * WORDS_MAX];
    for (size_t done = 0; done < count; done += batch) {
        const size_t n = count - done < batch ? count - done : batch, at = done * bits;
        for (unsigned word = 0; word < words; word++) {
            const unsigned from = k * words + word; /* words of the hashed keys, two in a block */
            if (word == 0 || from % 2 == 0) {
                sotto_ot_keys_send(ot, first + at, n * bits, (uint16_t)(from / 2), q + at, k0, k1);
            }
            for (size_t i = 0; i < n; i++) {
                uint64_t sum = 0;
                for (unsigned j = 0; j < bits; j++) {
                    const uint64_t zero = k0[i * bits + j].w[from % 2], one = k1[i * bits + j].w[from % 2];
                    sum ^= sotto_ct_select(sotto_lookup_index(j, word), one, zero); /* the mask is public */
                }
                table[i * words + word] = sum;
            }
        }
        write_tables(pads + table_at(u, done), u, n, table);
    }
    sotto_wipe(k0, sizeof k0);
    sotto_wipe(k1, sizeof k1);
    sotto_wipe(table, sizeof table);
    return SOTTO_OK;
}

int sotto_lookup_pad(uint64_t *pad, unsigned u, unsigned k, size_t count, const sotto_ot *ot, uint64_t first, const sotto_block *t, const uint64_t *r)
{
    if (check_table(u, k) != SOTTO_OK) {
        return SOTTO_ERR_ARG;
    }
    static const uint64_t zero[UNITS];
    const unsigned bits = u - 1, words = sotto_lookup_words(u);
    const size_t batch = batch_units(u);
    sotto_block key[KEYS];
    uint64_t table[UNITS * WORDS_MAX];
    for (size_t done = 0; done < count; done += batch) {
        const size_t n = count - done < batch ? count - done : batch, at = done * bits;
        for (unsigned word = 0; word < words; word++) {
            const unsigned from = k * words + word;
            if (word == 0 || from % 2 == 0) {
                sotto_ot_keys_recv(ot, first + at, n * bits, (uint16_t)(from / 2), t + at, key);
            }
            for (size_t i = 0; i < n; i++) {
                uint64_t sum = 0;
                for (unsigned j = 0; j < bits; j++) {
                    sum ^= key[i * bits + j].w[from % 2];
                }
                table[i * words + word] = sum;
            }
        }
        kernels()->open(u, pad + done, table, zero, r + done, n);
    }
    sotto_wipe(key, sizeof key);
    sotto_wipe(table, sizeof table);
    return SOTTO_OK;
}

void sotto_lookup_turn(uint8_t *pads, unsigned u, size_t count, const uint64_t *flips)
{
    uint64_t table[UNITS * WORDS_MAX];
    for (size_t done = 0; done < count; done += UNITS) {
        const size_t n = count - done < UNITS ? count - done : UNITS;
        read_tables(table, u, n, pads + table_at(u, done));
        kernels()->turn(u, table, flips + done, n);
        write_tables(pads + table_at(u, done), u, n, table);
    }
    sotto_wipe(table, sizeof table);
}

void sotto_lookup_tables(uint8_t *out, unsigned u, size_t count, const uint8_t *pads, const uint64_t *a, const uint64_t *pi)
{
    uint64_t table[UNITS * WORDS_MAX];
    for (size_t done = 0; done < count; done += UNITS) {
        const size_t n = count - done < UNITS ? count - done : UNITS;
        read_tables(table, u, n, pads + table_at(u, done));
        kernels()->build(u, table, a + done, pi + done, n);
        write_tables(out + table_at(u, done), u, n, table);
    }
    sotto_wipe(table, sizeof table);
}

void sotto_lookup_open(uint64_t *b, unsigned u, size_t count, const uint8_t *tables, const uint64_t *pad, const uint64_t *c)
{
    uint64_t table[UNITS * WORDS_MAX];
    for (size_t done = 0; done < count; done += UNITS) {
        const size_t n = count - done < UNITS ? count - done : UNITS;
        read_tables(table, u, n, tables + table_at(u, done));
        kernels()->open(u, b + done, table, pad + done, c + done, n);
    }
    sotto_wipe(table, sizeof table);
}
