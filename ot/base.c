#include "ot/base.h"

#include <sodium.h>
#include <string.h>

#include "lib/ct.h"
#include "lib/hash.h"
#include "lib/mem.h"
#include "ot/kernels.h"

/* Points that travel together: the sender works on one group while the receiver makes the next. */
#define GROUP 8

typedef uint8_t point[SOTTO_POINT_BYTES];
typedef uint8_t scalar[crypto_core_ristretto255_SCALARBYTES];

/* What a shared point gives. */
typedef struct derived {
    sotto_block seed, step;
} derived;

static const char domain[] = "sotto base ot 2";

static int bad_point(void)
{
    return sotto_fail(SOTTO_ERR_FORMAT,
                      "base OT: the peer sent bytes that are no usable ristretto255 point; connect again");
}

static int zero_scalar(void)
{
    return sotto_fail(SOTTO_ERR_RNG, "base OT: the randomness source gave a zero scalar");
}

/* libsodium refuses a zero scalar and encodings that are no points. From honest coins neither comes; that it came
 * ends the session, for all to see. */
static int refused(int verdict)
{
    SOTTO_DECLASSIFY(&verdict, sizeof verdict);
    return verdict != 0;
}

/* Uniform modulo the group order, from 512 bits; zero has probability 2^-252 and is refused by the multiplication. */
static int random_scalar(scalar s, const sotto_rng *rng)
{
    uint8_t wide[crypto_core_ristretto255_NONREDUCEDSCALARBYTES];
    const int status = sotto_rng_fill(rng, wide, sizeof wide);
    if (status == SOTTO_OK) {
        crypto_core_ristretto255_scalar_reduce(s, wide);
    }
    sotto_wipe(wide, sizeof wide);
    return status;
}

/* The keys of OT `index` from the shared point. */
static derived derive(sotto_block salt, unsigned index, const point a, const point b, const point shared)
{
    crypto_generichash_state state;
    derived keys;
    const uint8_t place = (uint8_t)index;
    crypto_generichash_init(&state, NULL, 0, sizeof keys);
    crypto_generichash_update(&state, (const uint8_t *)domain, sizeof domain);
    crypto_generichash_update(&state, (const uint8_t *)&salt, sizeof salt);
    crypto_generichash_update(&state, &place, sizeof place);
    crypto_generichash_update(&state, a, sizeof(point));
    crypto_generichash_update(&state, b, sizeof(point));
    crypto_generichash_update(&state, shared, sizeof(point));
    crypto_generichash_final(&state, (uint8_t *)&keys, sizeof keys);
    sotto_wipe(&state, sizeof state);
    return keys;
}

/* Party 1: b = r G + choice A and the keys H(r A). */
static int receive_points(sotto_base_seeds *seeds, sotto_block step[SOTTO_BASE_OTS], sotto_chan *chan,
                          const sotto_rng *rng, sotto_block salt)
{
    scalar r;
    point a, b[GROUP], plain, shifted, shared;
    derived keys;
    int status = sotto_chan_recv(chan, a, sizeof a);
    if (status == SOTTO_OK && (!crypto_core_ristretto255_is_valid_point(a) || sodium_is_zero(a, sizeof a))) {
        status = bad_point();
    }
    for (unsigned i = 0; i < SOTTO_BASE_OTS && status == SOTTO_OK; i++) {
        uint8_t *mine = b[i % GROUP];
        status = random_scalar(r, rng);
        if (status == SOTTO_OK && (refused(crypto_scalarmult_ristretto255_base(plain, r)) ||
                                   refused(crypto_core_ristretto255_add(shifted, plain, a)) ||
                                   refused(crypto_scalarmult_ristretto255(shared, r, a)))) {
            status = zero_scalar();
        }
        if (status != SOTTO_OK) {
            break;
        }
        const uint8_t mask = (uint8_t)sotto_ct_mask(sotto_bit(seeds->choices, i));
        for (unsigned j = 0; j < SOTTO_POINT_BYTES; j++) {
            mine[j] = (uint8_t)(plain[j] ^ (mask & (plain[j] ^ shifted[j])));
        }
        keys = derive(salt, i, a, mine, shared);
        seeds->received[i] = keys.seed;
        step[i] = keys.step;
        if (i % GROUP == GROUP - 1) {
            status = sotto_chan_send(chan, b, sizeof b);
            if (status == SOTTO_OK) {
                status = sotto_chan_flush(chan);
            }
        }
    }
    sotto_wipe(&keys, sizeof keys);
    sotto_wipe(r, sizeof r);
    sotto_wipe(plain, sizeof plain);
    sotto_wipe(shifted, sizeof shifted);
    sotto_wipe(shared, sizeof shared);
    return status;
}

/* Party 0: keys H(s B) and H(s B - s A); the step keys of all OTs for choice 0, then those for choice 1. */
static int send_points(sotto_base_seeds *seeds, sotto_block step[2 * SOTTO_BASE_OTS], sotto_chan *chan,
                       const sotto_rng *rng, sotto_block salt)
{
    scalar s;
    point a, sa, b[GROUP], shared[2];
    derived keys;
    int status = random_scalar(s, rng);
    if (status == SOTTO_OK && refused(crypto_scalarmult_ristretto255_base(a, s))) {
        status = zero_scalar();
    }
    SOTTO_DECLASSIFY(a, sizeof a); /* travels in the clear */
    if (status == SOTTO_OK) {
        status = sotto_chan_send(chan, a, sizeof a);
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_flush(chan);
    }
    if (status == SOTTO_OK && refused(crypto_scalarmult_ristretto255(sa, s, a))) {
        status = zero_scalar();
    }
    for (unsigned i = 0; i < SOTTO_BASE_OTS && status == SOTTO_OK; i++) {
        const uint8_t *theirs = b[i % GROUP];
        if (i % GROUP == 0) {
            status = sotto_chan_recv(chan, b, sizeof b);
        }
        /* The multiplication refuses what is no point, and a neutral result, which only the neutral point gives in a
         * group of prime order. */
        if (status == SOTTO_OK && (refused(crypto_scalarmult_ristretto255(shared[0], s, theirs)) ||
                                   refused(crypto_core_ristretto255_sub(shared[1], shared[0], sa)))) {
            status = bad_point();
        }
        for (unsigned k = 0; k < 2 && status == SOTTO_OK; k++) {
            keys = derive(salt, i, a, theirs, shared[k]);
            seeds->sent[i][k] = keys.seed;
            step[k * SOTTO_BASE_OTS + i] = keys.step;
        }
    }
    sotto_wipe(&keys, sizeof keys);
    sotto_wipe(s, sizeof s);
    sotto_wipe(shared, sizeof shared);
    sotto_wipe(sa, sizeof sa);
    return status;
}

/* ---- the way back ---------------------------------------------------------------------------------------------- */

/* Column j: the first block of the generator with this seed. */
static void expand(sotto_block *column, const sotto_block *seed)
{
    for (size_t j = 0; j < SOTTO_BASE_OTS; j++) {
        column[j] = (sotto_block){{0, 0}};
    }
    sotto_aes_encrypt_rekeyed(column, column, SOTTO_BASE_OTS, seed, 1);
}

static void to_rows(sotto_block row[SOTTO_BASE_OTS], const sotto_block column[SOTTO_BASE_OTS])
{
    sotto_ot_kernels_choose()->transpose(row, (const uint8_t *)column, sizeof *column, SOTTO_BASE_OTS);
}

static int step_receive(sotto_base_seeds *seeds, const sotto_block step[2 * SOTTO_BASE_OTS], sotto_chan *chan,
                        const sotto_hash *hash)
{
    sotto_block column[2][SOTTO_BASE_OTS], choices;
    memcpy(&choices, seeds->choices, sizeof choices);
    expand(column[0], step);
    expand(column[1], step + SOTTO_BASE_OTS);
    for (size_t j = 0; j < SOTTO_BASE_OTS; j++) {
        column[1][j] = sotto_block_xor(sotto_block_xor(column[1][j], column[0][j]), choices);
    }
    int status = sotto_chan_send(chan, column[1], sizeof column[1]);
    if (status == SOTTO_OK) {
        status = sotto_chan_flush(chan);
    }
    to_rows(seeds->received, column[0]);
    sotto_hash_blocks(hash, 0, 0, 0, seeds->received, seeds->received, SOTTO_BASE_OTS, 1);
    sotto_wipe(column, sizeof column);
    sotto_wipe(&choices, sizeof choices);
    return status;
}

static int step_send(sotto_base_seeds *seeds, const sotto_block step[SOTTO_BASE_OTS], sotto_chan *chan,
                     const sotto_hash *hash)
{
    sotto_block column[SOTTO_BASE_OTS], theirs[SOTTO_BASE_OTS], key[2][SOTTO_BASE_OTS], choices;
    int status = sotto_chan_recv(chan, theirs, sizeof theirs);
    memcpy(&choices, seeds->choices, sizeof choices);
    expand(column, step);
    for (size_t j = 0; j < SOTTO_BASE_OTS; j++) {
        column[j] =
            sotto_block_xor(column[j], sotto_block_and(theirs[j], sotto_ct_mask(sotto_bit(seeds->choices, j))));
    }
    to_rows(key[0], column);
    sotto_hash_pairs(hash, 0, 0, 0, key[0], key[1], key[0], choices, SOTTO_BASE_OTS);
    for (size_t i = 0; i < SOTTO_BASE_OTS; i++) {
        seeds->sent[i][0] = key[0][i];
        seeds->sent[i][1] = key[1][i];
    }
    sotto_wipe(&choices, sizeof choices);
    sotto_wipe(column, sizeof column);
    sotto_wipe(key, sizeof key);
    return status;
}

int sotto_base_ot(sotto_base_seeds *seeds, sotto_chan *chan, const sotto_rng *rng, sotto_block salt, int party)
{
    const sotto_hash hash = {salt, SOTTO_DOMAIN_BASE, 1};
    sotto_block step[2 * SOTTO_BASE_OTS]; /* party 0: all keys 0, then all keys 1; party 1: one of each OT */
    int status = SOTTO_OK;
    if (sodium_init() < 0) {
        status = sotto_fail(SOTTO_ERR_UNSUPPORTED, "libsodium cannot start on this system");
    }
    if (status == SOTTO_OK) {
        status =
            party == 0 ? send_points(seeds, step, chan, rng, salt) : receive_points(seeds, step, chan, rng, salt);
    }
    if (status == SOTTO_OK) {
        status = party == 0 ? step_receive(seeds, step, chan, &hash) : step_send(seeds, step, chan, &hash);
    }
    sotto_wipe(step, sizeof step);
    if (status != SOTTO_OK) {
        sotto_wipe(seeds, sizeof *seeds);
    }
    return status;
}
