#include "ot/base.h"

#include <sodium.h>
#include <string.h>

#include "lib/ct.h"
#include "lib/mem.h"

typedef uint8_t point[SOTTO_POINT_BYTES];
typedef uint8_t scalar[crypto_core_ristretto255_SCALARBYTES];

static const char domain[] = "sotto base ot 1";

/* Uniform modulo the group order, from 512 bits; zero has probability 2^-252 and is refused below by the point checks. */
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

static int check_point(const point p)
{
    if (!crypto_core_ristretto255_is_valid_point(p) || sodium_is_zero(p, SOTTO_POINT_BYTES)) {
        return sotto_fail(SOTTO_ERR_FORMAT, "base OT: the peer sent bytes that are no usable ristretto255 point; connect again");
    }
    return SOTTO_OK;
}

/* The key of OT `index`, sent by party `sender`, from the shared point. */
static sotto_block derive(sotto_block salt, int sender, unsigned index, const point a, const point b, const point shared)
{
    crypto_generichash_state state;
    sotto_block key;
    const uint8_t place[2] = {(uint8_t)sender, (uint8_t)index};
    crypto_generichash_init(&state, NULL, 0, sizeof key);
    crypto_generichash_update(&state, (const uint8_t *)domain, sizeof domain);
    crypto_generichash_update(&state, (const uint8_t *)&salt, sizeof salt);
    crypto_generichash_update(&state, place, sizeof place);
    crypto_generichash_update(&state, a, sizeof(point));
    crypto_generichash_update(&state, b, sizeof(point));
    crypto_generichash_update(&state, shared, sizeof(point));
    crypto_generichash_final(&state, (uint8_t *)&key, sizeof key);
    sotto_wipe(&state, sizeof state);
    return key;
}

/* Receiver: b = r G + choice A and the keys H(r A). */
static int receive(sotto_base_seeds *seeds, point *b, const point a, const sotto_rng *rng, sotto_block salt, int sender)
{
    scalar r;
    point plain, shifted, shared;
    int status = SOTTO_OK;
    for (unsigned i = 0; i < SOTTO_BASE_OTS; i++) {
        status = random_scalar(r, rng);
        if (status != SOTTO_OK) {
            break;
        }
        if (crypto_scalarmult_ristretto255_base(plain, r) != 0 || crypto_core_ristretto255_add(shifted, plain, a) != 0 ||
            crypto_scalarmult_ristretto255(shared, r, a) != 0) {
            status = sotto_fail(SOTTO_ERR_RNG, "base OT: the randomness source gave a zero scalar");
            break;
        }
        const uint8_t mask = (uint8_t)sotto_ct_mask(sotto_bit(seeds->choices, i));
        for (unsigned j = 0; j < SOTTO_POINT_BYTES; j++) {
            b[i][j] = (uint8_t)(plain[j] ^ (mask & (plain[j] ^ shifted[j])));
        }
        seeds->received[i] = derive(salt, sender, i, a, b[i], shared);
    }
    sotto_wipe(r, sizeof r);
    sotto_wipe(plain, sizeof plain);
    sotto_wipe(shifted, sizeof shifted);
    sotto_wipe(shared, sizeof shared);
    return status;
}

/* Sender: keys H(s B) and H(s B - s A). */
static int send_keys(sotto_base_seeds *seeds, const scalar s, const point a, const point *b, sotto_block salt, int sender)
{
    point shared[2], sa;
    int status = SOTTO_OK;
    if (crypto_scalarmult_ristretto255(sa, s, a) != 0) {
        return sotto_fail(SOTTO_ERR_RNG, "base OT: the randomness source gave a zero scalar");
    }
    for (unsigned i = 0; i < SOTTO_BASE_OTS && status == SOTTO_OK; i++) {
        status = check_point(b[i]);
        if (status == SOTTO_OK && (crypto_scalarmult_ristretto255(shared[0], s, b[i]) != 0 ||
                                   crypto_core_ristretto255_sub(shared[1], shared[0], sa) != 0)) {
            status = sotto_fail(SOTTO_ERR_FORMAT, "base OT: the peer sent bytes that are no usable ristretto255 point; connect again");
        }
        for (unsigned k = 0; k < 2 && status == SOTTO_OK; k++) {
            seeds->sent[i][k] = derive(salt, sender, i, a, b[i], shared[k]);
        }
    }
    sotto_wipe(shared, sizeof shared);
    sotto_wipe(sa, sizeof sa);
    return status;
}

int sotto_base_ot(sotto_base_seeds *seeds, sotto_chan *chan, const sotto_rng *rng, sotto_block salt, int party)
{
    scalar s;
    point mine, theirs;                              /* A of each direction */
    point b_mine[SOTTO_BASE_OTS], b_theirs[SOTTO_BASE_OTS]; /* B where I receive, B where I send */
    int status = sodium_init() < 0 ? sotto_fail(SOTTO_ERR_UNSUPPORTED, "libsodium cannot start on this system") : SOTTO_OK;
    if (status == SOTTO_OK) {
        status = random_scalar(s, rng);
    }
    if (status == SOTTO_OK && crypto_scalarmult_ristretto255_base(mine, s) != 0) {
        status = sotto_fail(SOTTO_ERR_RNG, "base OT: the randomness source gave a zero scalar");
    }
    /* A_0 | A_1 and the receiver's points of party 1 | those of party 0 */
    if (status == SOTTO_OK && party == 0) {
        status = sotto_chan_send(chan, mine, sizeof mine);
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_recv(chan, theirs, sizeof theirs);
    }
    if (status == SOTTO_OK) {
        status = check_point(theirs);
    }
    if (status == SOTTO_OK) {
        status = receive(seeds, b_mine, theirs, rng, salt, 1 - party);
    }
    if (status == SOTTO_OK && party == 1) {
        status = sotto_chan_send(chan, mine, sizeof mine);
    }
    if (status == SOTTO_OK && party == 1) {
        status = sotto_chan_send(chan, b_mine, sizeof b_mine);
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_recv(chan, b_theirs, sizeof b_theirs);
    }
    if (status == SOTTO_OK && party == 0) {
        status = sotto_chan_send(chan, b_mine, sizeof b_mine);
    }
    if (status == SOTTO_OK && party == 0) {
        status = sotto_chan_flush(chan);
    }
    if (status == SOTTO_OK) {
        status = send_keys(seeds, s, mine, (const point *)b_theirs, salt, party);
    }
    sotto_wipe(s, sizeof s);
    if (status != SOTTO_OK) {
        sotto_wipe(seeds, sizeof *seeds);
    }
    return status;
}
