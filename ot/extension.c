#include "ot/extension.h"

#include <string.h>

#include "lib/ct.h"
#include "lib/mem.h"
#include "lib/prg.h"
#include "ot/base.h"
#include "ot/silent_internal.h"
#include "ot/softspoken_internal.h"

/* OTs of one direction in a session: 2^36 bytes of each generator (lib/prg.h), eight OTs a byte. */
#define OTS_MAX (UINT64_C(1) << 39)

struct sotto_ot {
    sotto_block salt;
    int party;
    sotto_ot_kind kind;
    sotto_block offset;            /* where this party sends: the base choices */
    sotto_prg coins;               /* random choices */
    sotto_softspoken *send, *recv; /* NULL with Ferret */
    sotto_silent *silent;          /* NULL with the others */
    uint64_t sent, received;       /* numbers used up */
    uint64_t taken;                /* in halves: of those received, the ones whose blocks are there */
};

const char *sotto_ot_kind_name(sotto_ot_kind kind)
{
    static const char *const names[] = {"iknp",        "softspoken2", "softspoken3", "softspoken4",
                                        "softspoken5", "softspoken6", "softspoken7", "softspoken8"};
    if (kind == SOTTO_OT_FERRET) {
        return "ferret";
    }
    return kind >= SOTTO_OT_IKNP && kind <= SOTTO_OT_SOFTSPOKEN8 ? names[kind - SOTTO_OT_IKNP] : "unknown";
}

/* k of the small fields that a kind uses. */
static unsigned field(sotto_ot_kind kind)
{
    return kind == SOTTO_OT_FERRET ? SOTTO_SOFTSPOKEN_K_MAX : (unsigned)kind;
}

/* ---- sessions -------------------------------------------------------------------------------------------------- */

/* Trees of both directions. Both send first, for neither message depends on the other. */
static int make_trees(sotto_ot *ot, sotto_base_seeds *seeds, sotto_chan *chan)
{
    const unsigned k = field(ot->kind);
    const size_t bytes = sotto_softspoken_setup_bytes(k);
    uint8_t *message = sotto_calloc(bytes, 1);
    int status = message != NULL ? SOTTO_OK : sotto_fail(SOTTO_ERR_MEMORY, "no memory for an OT session");
    if (status == SOTTO_OK) {
        status = sotto_softspoken_new_receiver(&ot->recv, k, seeds->sent, message);
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_send(chan, message, bytes);
    }
    if (status == SOTTO_OK && bytes > 0) {
        status = sotto_chan_recv(chan, message, bytes);
    }
    if (status == SOTTO_OK) {
        status = sotto_softspoken_new_sender(&ot->send, k, ot->offset, seeds->received, message);
    }
    sotto_free(message);
    return status;
}

/* The small fields give what Ferret starts from. */
static int make_silent(sotto_ot *ot, sotto_chan *chan)
{
    sotto_silent_source source[2] = {{.ots = ot->recv, .hash = sotto_ot_hash(ot, SOTTO_DOMAIN_OT, 0)},
                                     {.ots = ot->send, .hash = sotto_ot_hash(ot, SOTTO_DOMAIN_OT, 1)}};
    sotto_prg_fill(&ot->coins, &source[0].seed, sizeof source[0].seed);
    sotto_prg_fill(&ot->coins, &source[1].seed, sizeof source[1].seed);
    const int status = sotto_silent_new(&ot->silent, ot->party, source, ot->offset, chan);
    sotto_softspoken_free(ot->send);
    sotto_softspoken_free(ot->recv);
    ot->send = ot->recv = NULL;
    sotto_wipe(source, sizeof source);
    return status;
}

int sotto_ot_new(sotto_ot **out, sotto_chan *chan, const sotto_rng *rng, sotto_block salt, int party,
                 sotto_ot_kind kind)
{
    *out = NULL;
    if (kind != SOTTO_OT_FERRET && (kind < SOTTO_OT_IKNP || kind > SOTTO_OT_SOFTSPOKEN8)) {
        return sotto_fail(SOTTO_ERR_ARG, "OT extension %d: expected a value of sotto_ot_kind", (int)kind);
    }
    sotto_base_seeds seeds;
    sotto_block coins;
    sotto_ot *ot = sotto_calloc(1, sizeof *ot);
    if (ot == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for an OT session");
    }
    *ot = (sotto_ot){.salt = salt, .party = party, .kind = kind};
    int status = sotto_rng_fill(rng, seeds.choices, sizeof seeds.choices);
    if (status == SOTTO_OK) {
        seeds.choices[0] |= 1; /* the permute bit of garbling: labels of one wire differ in their lowest bit */
        memcpy(&ot->offset, seeds.choices, sizeof ot->offset);
        status = sotto_base_ot(&seeds, chan, rng, salt, party);
    }
    if (status == SOTTO_OK) {
        status = sotto_rng_fill(rng, &coins, sizeof coins);
    }
    if (status == SOTTO_OK) {
        sotto_prg_init(&ot->coins, coins);
        status = make_trees(ot, &seeds, chan);
    }
    if (status == SOTTO_OK && kind == SOTTO_OT_FERRET) {
        status = make_silent(ot, chan);
    }
    if (status == SOTTO_OK) {
        *out = ot;
    } else {
        sotto_ot_free(ot);
    }
    sotto_wipe(&seeds, sizeof seeds);
    sotto_wipe(&coins, sizeof coins);
    return status;
}

void sotto_ot_free(sotto_ot *ot)
{
    if (ot != NULL) {
        sotto_silent_free(ot->silent);
        sotto_softspoken_free(ot->send);
        sotto_softspoken_free(ot->recv);
        sotto_free_secret(ot, 1, sizeof *ot);
    }
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

/* ---- bytes and numbers ----------------------------------------------------------------------------------------- */

static size_t packed(size_t count)
{
    return count / 8 + (count % 8 != 0);
}

size_t sotto_ot_wire_bytes(sotto_ot_kind kind, size_t count, int random)
{
    return kind == SOTTO_OT_FERRET ? sotto_silent_ask_bytes(count, random)
                                   : sotto_softspoken_wire_bytes(field(kind), count);
}

size_t sotto_ot_answer_bytes(sotto_ot_kind kind, size_t count)
{
    return kind == SOTTO_OT_FERRET ? sotto_silent_answer_bytes(count) : 0;
}

/* Batches are whole blocks of 128 rows, so that every call starts the generators at a block of their stream. */
static size_t padded(size_t count)
{
    return (count + 127) / 128 * 128;
}

/* Takes the numbers of `count` OTs off *used, also when the batch fails later: a number that was on the wire is
 * gone. */
static int reserve(uint64_t *used, size_t count, uint64_t *first)
{
    if (count > OTS_MAX - *used || padded(count) > OTS_MAX - *used) {
        return sotto_fail(SOTTO_ERR_LIMIT,
                          "%zu oblivious transfers are more than this session has left; connect again", count);
    }
    *first = *used;
    *used += padded(count);
    return SOTTO_OK;
}

/* The same where a call is made in one go. */
static int reserve_received(sotto_ot *ot, size_t count, uint64_t *first)
{
    const int status = reserve(&ot->received, count, first);
    ot->taken = ot->received;
    return status;
}

/* ---- correlated OT --------------------------------------------------------------------------------------------- */

/* out = the lowest bits of the blocks. */
static void choices_of(uint8_t *out, const sotto_block *z, size_t count)
{
    for (size_t i = 0; i < count; i += 8) {
        const size_t n = count - i < 8 ? count - i : 8;
        uint64_t byte = 0;
        for (size_t j = 0; j < n; j++) {
            byte |= (z[i + j].w[0] & 1) << j;
        }
        out[i / 8] = (uint8_t)byte;
    }
}

static int correlated_send(sotto_ot *ot, sotto_chan *chan, size_t count, sotto_block *q)
{
    return ot->silent != NULL ? sotto_silent_send(ot->silent, chan, 0, count, q) : sotto_softspoken_send(ot->send, chan, count, q);
}

static int correlated_recv(sotto_ot *ot, sotto_chan *chan, const uint8_t *choices, size_t count, sotto_block *t)
{
    return ot->silent != NULL ? sotto_silent_recv(ot->silent, chan, choices, count, t)
                                   : sotto_softspoken_recv(ot->recv, chan, choices, count, t);
}

int sotto_ot_send(sotto_ot *ot, sotto_chan *chan, size_t count, sotto_block *q, uint64_t *first)
{
    int status = reserve(&ot->sent, count, first);
    if (status != SOTTO_OK) {
        return status;
    }
    status = correlated_send(ot, chan, count, q);
    if (status != SOTTO_OK) {
        sotto_wipe(q, count * sizeof *q);
    }
    return status;
}

int sotto_ot_recv(sotto_ot *ot, sotto_chan *chan, const uint8_t *choices, size_t count, sotto_block *t,
                  uint64_t *first)
{
    int status = reserve_received(ot, count, first);
    if (status != SOTTO_OK) {
        return status;
    }
    status = correlated_recv(ot, chan, choices, count, t);
    if (status != SOTTO_OK) {
        sotto_wipe(t, count * sizeof *t);
    }
    return status;
}

int sotto_ot_send_random(sotto_ot *ot, sotto_chan *chan, size_t count, sotto_block *q, uint64_t *first)
{
    if (ot->silent == NULL) {
        return sotto_ot_send(ot, chan, count, q, first);
    }
    int status = reserve(&ot->sent, count, first);
    if (status != SOTTO_OK) {
        return status;
    }
    status = sotto_silent_send(ot->silent, chan, 1, count, q);
    if (status != SOTTO_OK) {
        sotto_wipe(q, count * sizeof *q);
    }
    return status;
}

int sotto_ot_recv_random(sotto_ot *ot, sotto_chan *chan, uint8_t *choices, size_t count, sotto_block *t,
                         uint64_t *first)
{
    int status = SOTTO_OK;
    if (ot->silent == NULL) {
        sotto_prg_fill(&ot->coins, choices, packed(count));
        if (count % 8 != 0) {
            choices[count / 8] = (uint8_t)sotto_low_bits(choices[count / 8], (unsigned)(count % 8));
        }
        status = sotto_ot_recv(ot, chan, choices, count, t, first);
    } else {
        status = reserve_received(ot, count, first);
        if (status == SOTTO_OK) {
            status = sotto_silent_recv(ot->silent, chan, NULL, count, t);
            if (status != SOTTO_OK) {
                sotto_wipe(t, count * sizeof *t);
            }
        }
        if (status == SOTTO_OK) {
            choices_of(choices, t, count);
        }
    }
    if (status != SOTTO_OK && status != SOTTO_ERR_LIMIT) {
        sotto_wipe(choices, packed(count));
    }
    return status;
}

/* ---- halves ---------------------------------------------------------------------------------------------------- */

static int has_halves(const sotto_ot *ot)
{
    return ot->silent != NULL ? SOTTO_OK : sotto_fail(SOTTO_ERR_ARG, "only silent OT has a stock, and calls in halves");
}

int sotto_ot_stock_begin(sotto_ot *ot, const sotto_ot_stock *s)
{
    const int status = has_halves(ot);
    return status == SOTTO_OK ? sotto_silent_stock_begin(ot->silent, s) : status;
}

int sotto_ot_stock_say(sotto_ot *ot, sotto_chan *chan)
{
    const int status = has_halves(ot);
    return status == SOTTO_OK ? sotto_silent_stock_say(ot->silent, chan) : status;
}

int sotto_ot_stock_hear(sotto_ot *ot, sotto_chan *chan)
{
    const int status = has_halves(ot);
    return status == SOTTO_OK ? sotto_silent_stock_hear(ot->silent, chan) : status;
}

int sotto_ot_stock_make(sotto_ot *ot, sotto_chan *chan, const sotto_ot_stock *s)
{
    const unsigned exchanges = ot->silent != NULL ? sotto_ot_stock_exchanges(s) : 0;
    if (exchanges == 0) {
        return SOTTO_OK;
    }
    int status = sotto_ot_stock_begin(ot, s);
    for (unsigned turn = 0; turn <= 2 * exchanges && status == SOTTO_OK; turn++) {
        status = (int)(turn % 2) == ot->party ? sotto_ot_stock_say(ot, chan) : sotto_ot_stock_hear(ot, chan);
    }
    return status == SOTTO_OK ? sotto_chan_flush(chan) : status;
}

int sotto_ot_ask(sotto_ot *ot, sotto_chan *chan, const uint8_t *choices, size_t count)
{
    uint64_t first;
    int status = has_halves(ot);
    if (status == SOTTO_OK) {
        status = reserve(&ot->received, count, &first);
    }
    return status == SOTTO_OK ? sotto_silent_ask(ot->silent, chan, choices, count) : status;
}

int sotto_ot_give(sotto_ot *ot, sotto_chan *chan, int random, size_t count, sotto_block *q, uint64_t *first, uint8_t *answer)
{
    if (ot->silent == NULL) {
        return sotto_ot_send(ot, chan, count, q, first);
    }
    int status = reserve(&ot->sent, count, first);
    if (status == SOTTO_OK) {
        status = sotto_silent_give(ot->silent, chan, random, count, q, answer);
    }
    if (status != SOTTO_OK && status != SOTTO_ERR_LIMIT) {
        sotto_wipe(q, count * sizeof *q);
    }
    return status;
}

int sotto_ot_take(sotto_ot *ot, const uint8_t *answer, uint8_t *choices, size_t count, sotto_block *t, uint64_t *first)
{
    int status = has_halves(ot);
    if (status == SOTTO_OK) {
        status = reserve(&ot->taken, count, first);
    }
    if (status == SOTTO_OK) {
        status = sotto_silent_take(ot->silent, answer, count, t);
    }
    if (status == SOTTO_OK && choices != NULL) {
        choices_of(choices, t, count);
    } else if (status != SOTTO_OK && status != SOTTO_ERR_LIMIT) {
        sotto_wipe(t, count * sizeof *t);
    }
    return status;
}

/* ---- keys ------------------------------------------------------------------------------------------------------ */

void sotto_ot_keys_send(const sotto_ot *ot, uint64_t first, size_t count, uint16_t word, const sotto_block *q,
                        sotto_block *k0, sotto_block *k1)
{
    const sotto_hash hash = sotto_ot_hash(ot, SOTTO_DOMAIN_OT, 1);
    sotto_hash_pairs(&hash, word, 0, first, k0, k1, q, ot->offset, count);
}

void sotto_ot_keys_recv(const sotto_ot *ot, uint64_t first, size_t count, uint16_t word, const sotto_block *t,
                        sotto_block *k)
{
    const sotto_hash hash = sotto_ot_hash(ot, SOTTO_DOMAIN_OT, 0);
    sotto_hash_blocks(&hash, word, 0, first, k, t, count, 1);
}

/* OTs that are hashed as soon as they are there: as many as are written at once, about what the second-level cache
 * holds. Silent OT goes by whole calls, for each is an exchange. */
#define KEYED 65536

static size_t keyed(const sotto_ot *ot, size_t left)
{
    return ot->kind != SOTTO_OT_FERRET && left > KEYED ? KEYED : left;
}

int sotto_ot_send_keys(sotto_ot *ot, sotto_chan *chan, size_t count, sotto_block *k0, sotto_block *k1,
                       uint64_t *first)
{
    int status = reserve(&ot->sent, count, first);
    if (status != SOTTO_OK) {
        return status;
    }
    for (size_t done = 0, n; done < count && status == SOTTO_OK; done += n) {
        n = keyed(ot, count - done);
        status = correlated_send(ot, chan, n, k0 + done);
        sotto_ot_keys_send(ot, *first + done, n, 0, k0 + done, k0 + done, k1 + done);
    }
    if (status != SOTTO_OK) {
        sotto_wipe(k0, count * sizeof *k0);
        sotto_wipe(k1, count * sizeof *k1);
    }
    return status;
}

int sotto_ot_recv_keys(sotto_ot *ot, sotto_chan *chan, const uint8_t *choices, size_t count, sotto_block *k,
                       uint64_t *first)
{
    int status = reserve_received(ot, count, first);
    if (status != SOTTO_OK) {
        return status;
    }
    for (size_t done = 0, n; done < count && status == SOTTO_OK; done += n) {
        n = keyed(ot, count - done);
        status = correlated_recv(ot, chan, choices + done / 8, n, k + done);
        sotto_ot_keys_recv(ot, *first + done, n, 0, k + done, k + done);
    }
    if (status != SOTTO_OK) {
        sotto_wipe(k, count * sizeof *k);
    }
    return status;
}

/* Blocks sealed at once: a chunk's for choice 0, then those for choice 1. */
#define SEALED 2048

int sotto_ot_chosen_send(sotto_ot *ot, sotto_chan *chan, size_t count, const sotto_block *m0, const sotto_block *m1)
{
    const size_t scratch = 2 * SEALED;
    sotto_block *sealed = count <= SIZE_MAX - scratch ? sotto_calloc(scratch + count, sizeof *sealed) : NULL;
    if (sealed == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu oblivious transfers", count);
    }
    sotto_block *q = sealed + scratch;
    uint64_t first = 0;
    int status = sotto_ot_send(ot, chan, count, q, &first);
    for (size_t done = 0; done < count && status == SOTTO_OK; done += SEALED) {
        const size_t n = count - done < SEALED ? count - done : SEALED;
        sotto_ot_keys_send(ot, first + done, n, 0, q + done, sealed, sealed + n);
        for (size_t i = 0; i < n; i++) {
            sealed[i] = sotto_block_xor(sealed[i], m0[done + i]);
            sealed[n + i] = sotto_block_xor(sealed[n + i], m1[done + i]);
        }
        status = sotto_chan_send(chan, sealed, 2 * n * sizeof *sealed);
    }
    if (status == SOTTO_OK) {
        status = sotto_chan_flush(chan);
    }
    sotto_free_secret(sealed, scratch + count, sizeof *sealed);
    return status;
}

int sotto_ot_chosen_recv(sotto_ot *ot, sotto_chan *chan, const uint8_t *choices, size_t count, sotto_block *out)
{
    sotto_block *sealed = sotto_calloc(2 * SEALED, sizeof *sealed);
    if (sealed == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu oblivious transfers", count);
    }
    uint64_t first = 0;
    int status = sotto_ot_recv(ot, chan, choices, count, out, &first);
    const int touched = status != SOTTO_ERR_LIMIT;
    for (size_t done = 0; done < count && status == SOTTO_OK; done += SEALED) {
        const size_t n = count - done < SEALED ? count - done : SEALED;
        status = sotto_chan_recv(chan, sealed, 2 * n * sizeof *sealed);
        sotto_ot_keys_recv(ot, first + done, n, 0, out + done, out + done);
        for (size_t i = 0; i < n; i++) {
            const uint64_t mask = sotto_ct_mask(sotto_bit(choices, done + i));
            const sotto_block other = sotto_block_and(sotto_block_xor(sealed[i], sealed[n + i]), mask);
            out[done + i] = sotto_block_xor(out[done + i], sotto_block_xor(sealed[i], other));
        }
    }
    if (status != SOTTO_OK && touched) {
        sotto_wipe(out, count * sizeof *out);
    }
    sotto_free(sealed);
    return status;
}
