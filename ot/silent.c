#include "ot/silent_internal.h"

#include "lib/ct.h"
#include "lib/mem.h"
#include "ot/ferret_internal.h"

/* Trees whose sums travel together where the parties call in step, and the rounds of a stock that is made for them. */
#define IN_STEP_TREES  16u
#define IN_STEP_ROUNDS 4u

struct sotto_silent {
    int party;
    sotto_block offset;
    sotto_ferret *send, *recv;
    int failed;    /* no call succeeds after one that did not */
    uint8_t *owed; /* sums of a stock, until they are sent */
    size_t owed_bytes;
};

int sotto_silent_new(sotto_silent **out, int party, const sotto_silent_source source[2], sotto_block offset, sotto_chan *chan)
{
    sotto_silent *s = sotto_calloc(1, sizeof *s);
    int status = s != NULL ? SOTTO_OK : sotto_fail(SOTTO_ERR_MEMORY, "no memory for silent OT");
    if (status == SOTTO_OK) {
        s->party = party;
        s->offset = offset;
    }
    for (int turn = 0; turn < 2 && status == SOTTO_OK; turn++) {
        const sotto_silent_source *from = &source[turn != party];
        status = turn == party ? sotto_ferret_new_receiver(&s->recv, from->ots, chan, from->hash, from->seed)
                               : sotto_ferret_new_sender(&s->send, from->ots, chan, from->hash, offset, from->seed);
    }
    if (status != SOTTO_OK) {
        sotto_silent_free(s);
        s = NULL;
    }
    *out = s;
    return status;
}

void sotto_silent_free(sotto_silent *s)
{
    if (s != NULL) {
        sotto_ferret_free(s->send);
        sotto_ferret_free(s->recv);
        sotto_free_secret(s->owed, s->owed_bytes, 1);
        sotto_free_secret(s, 1, sizeof *s);
    }
}

/* ---- bytes ----------------------------------------------------------------------------------------------------- */

static size_t trees(size_t count)
{
    return count / SOTTO_FERRET_LEAVES + (count % SOTTO_FERRET_LEAVES != 0);
}

static size_t packed(size_t count)
{
    return count / 8 + (count % 8 != 0);
}

size_t sotto_silent_ask_bytes(size_t count, int random)
{
    return trees(count) * SOTTO_FERRET_FLIP_BYTES + (random ? 0 : packed(count));
}

size_t sotto_silent_answer_bytes(size_t count)
{
    return trees(count) * SOTTO_FERRET_SUM_BYTES;
}

/* ---- halves ---------------------------------------------------------------------------------------------------- */

/* What one tree of a call is for: `wanted` of its OTs from `done` on. */
typedef struct part {
    size_t done, wanted;
} part;

static part tree_at(size_t count, size_t i)
{
    const size_t done = i * SOTTO_FERRET_LEAVES, left = count - done;
    return (part){done, left < SOTTO_FERRET_LEAVES ? left : SOTTO_FERRET_LEAVES};
}

/* Ends silent OT for good: flips and sums of the two parties no longer meet. */
static int end(sotto_silent *s, int status)
{
    s->failed |= status != SOTTO_OK;
    return status;
}

static int usable(const sotto_silent *s)
{
    return s->failed ? sotto_fail(SOTTO_ERR_PROTOCOL, "an OT extension that has failed: the session has ended") : SOTTO_OK;
}

/* Calls in halves come to their end before others begin. */
static int none_open(const sotto_silent *s)
{
    const int status = usable(s);
    return status != SOTTO_OK || sotto_ferret_asked(s->recv) == 0 ? status : sotto_fail(SOTTO_ERR_ARG, "oblivious transfers that were asked for have not been taken yet");
}

/* Flips of `count` OTs of the stock, and with choices their difference to those of the OTs. */
static int ask_part(sotto_silent *s, sotto_chan *chan, const uint8_t *choices, size_t count)
{
    const size_t n = trees(count), bytes = sotto_silent_ask_bytes(count, choices == NULL);
    uint8_t bits[SOTTO_FERRET_LEAVES / 8], *message = sotto_calloc(bytes, 1), *flips = message;
    if (message == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu oblivious transfers", count);
    }
    uint8_t *const differences = message + n * SOTTO_FERRET_FLIP_BYTES;
    for (size_t i = 0; i < n; i++, flips += SOTTO_FERRET_FLIP_BYTES) {
        const part t = tree_at(count, i);
        sotto_ferret_ask(s->recv, flips, choices == NULL ? NULL : bits);
        for (size_t k = 0; choices != NULL && k < packed(t.wanted); k++) {
            differences[t.done / 8 + k] = bits[k] ^ choices[t.done / 8 + k];
        }
    }
    if (choices != NULL && count % 8 != 0) {
        differences[count / 8] = (uint8_t)sotto_low_bits(differences[count / 8], (unsigned)(count % 8));
    }
    const int status = sotto_chan_send(chan, message, bytes);
    sotto_free(message);
    sotto_wipe(bits, sizeof bits);
    return status;
}

/* Silent OTs have random choices: the sender adds D where these differ from the ones that the receiver wants. */
static int give_part(sotto_silent *s, sotto_chan *chan, int random, size_t count, sotto_block *q, uint8_t *answer)
{
    const size_t n = trees(count), bytes = sotto_silent_ask_bytes(count, random);
    uint8_t *message = sotto_calloc(bytes, 1);
    int status = message != NULL ? sotto_chan_recv(chan, message, bytes)
                                 : sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu oblivious transfers", count);
    for (size_t i = 0; i < n && status == SOTTO_OK; i++) {
        const part t = tree_at(count, i);
        sotto_ferret_give(s->send, message + i * SOTTO_FERRET_FLIP_BYTES, answer + i * SOTTO_FERRET_SUM_BYTES, t.wanted, q + t.done);
    }
    const uint8_t *const differences = message + n * SOTTO_FERRET_FLIP_BYTES;
    for (size_t i = 0; !random && i < count && status == SOTTO_OK; i++) {
        q[i] = sotto_block_xor(q[i], sotto_block_and(s->offset, sotto_ct_mask(sotto_bit(differences, i))));
    }
    sotto_free(message);
    return status;
}

static void take_part(sotto_silent *s, const uint8_t *answer, size_t count, sotto_block *t)
{
    for (size_t i = 0; i < trees(count); i++) {
        const part tree = tree_at(count, i);
        sotto_ferret_take(s->recv, answer + i * SOTTO_FERRET_SUM_BYTES, tree.wanted, t + tree.done);
    }
}

/* The stock was made for these calls by both parties' plan; a call beyond it is the caller's mistake. */
static int stocked(size_t left, size_t count)
{
    return trees(count) <= left ? SOTTO_OK : sotto_fail(SOTTO_ERR_ARG, "%zu oblivious transfers are more than the stock has left", count);
}

int sotto_silent_ask(sotto_silent *s, sotto_chan *chan, const uint8_t *choices, size_t count)
{
    int status = usable(s);
    if (status == SOTTO_OK) {
        status = stocked(sotto_ferret_left(s->recv), count);
    }
    if (status == SOTTO_OK) {
        status = ask_part(s, chan, choices, count);
    }
    return end(s, status);
}

int sotto_silent_give(sotto_silent *s, sotto_chan *chan, int random, size_t count, sotto_block *q, uint8_t *answer)
{
    int status = usable(s);
    if (status == SOTTO_OK) {
        status = stocked(sotto_ferret_left(s->send), count);
    }
    if (status == SOTTO_OK) {
        status = give_part(s, chan, random, count, q, answer);
    }
    return end(s, status);
}

int sotto_silent_take(sotto_silent *s, const uint8_t *answer, size_t count, sotto_block *t)
{
    int status = usable(s);
    if (status == SOTTO_OK) {
        status = stocked(sotto_ferret_asked(s->recv), count);
    }
    if (status == SOTTO_OK) {
        take_part(s, answer, count, t);
    }
    return end(s, status);
}

/* ---- stock ----------------------------------------------------------------------------------------------------- */

static size_t start_flips(size_t starts)
{
    return starts * SOTTO_FERRET_START_TREES * SOTTO_FERRET_FLIP_BYTES;
}

static size_t start_sums(size_t starts)
{
    return starts * SOTTO_FERRET_START_TREES * SOTTO_FERRET_SUM_BYTES;
}

static size_t rounds_of(size_t trees_wanted)
{
    return trees_wanted / SOTTO_FERRET_TREES + (trees_wanted % SOTTO_FERRET_TREES != 0);
}

unsigned sotto_ot_stock_exchanges(const sotto_ot_stock *stock)
{
    unsigned most = 0;
    for (int party = 0; party < 2; party++) {
        while (sotto_ferret_level_of(rounds_of(stock->trees[party]), most).made > 0) {
            most++;
        }
    }
    return most;
}

/* Party 1 answers a level in the exchange in which it is asked, party 0 in the next. */
size_t sotto_ot_stock_bytes(const sotto_ot_stock *stock, int party, unsigned exchange)
{
    const size_t asks = sotto_ferret_level_of(rounds_of(stock->trees[party]), exchange).made, theirs = rounds_of(stock->trees[1 - party]);
    const size_t answers = party == 1      ? sotto_ferret_level_of(theirs, exchange).made
                           : exchange == 0 ? 0
                                           : sotto_ferret_level_of(theirs, exchange - 1).made;
    return start_sums(answers) + start_flips(asks);
}

size_t sotto_ot_stock_trees(const sotto_ot_stock *stock)
{
    size_t starts = 0;
    for (int party = 0; party < 2; party++) {
        const size_t rounds = rounds_of(stock->trees[party]);
        for (unsigned i = 0; sotto_ferret_level_of(rounds, i).made > 0; i++) {
            starts += sotto_ferret_level_of(rounds, i).made;
        }
    }
    return starts * SOTTO_FERRET_START_TREES;
}

int sotto_silent_stock_begin(sotto_silent *s, const sotto_ot_stock *stock)
{
    int status = none_open(s);
    if (status == SOTTO_OK) {
        status = sotto_ferret_stock(s->recv, rounds_of(stock->trees[s->party]));
    }
    if (status == SOTTO_OK) {
        status = sotto_ferret_stock(s->send, rounds_of(stock->trees[1 - s->party]));
    }
    return end(s, status);
}

static int pay(sotto_silent *s, sotto_chan *chan)
{
    const int status = s->owed_bytes > 0 ? sotto_chan_send(chan, s->owed, s->owed_bytes) : SOTTO_OK;
    sotto_free_secret(s->owed, s->owed_bytes, 1);
    s->owed = NULL;
    s->owed_bytes = 0;
    return status;
}

static int stock_memory(void)
{
    return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a stock of silent OT");
}

/* The flips of a level. */
static int stock_ask(sotto_ferret *f, sotto_chan *chan)
{
    const size_t bytes = start_flips(sotto_ferret_due(f));
    if (bytes == 0) {
        return SOTTO_OK;
    }
    uint8_t *flips = sotto_calloc(bytes, 1);
    if (flips == NULL) {
        return stock_memory();
    }
    sotto_ferret_stock_ask(f, flips);
    const int status = sotto_chan_send(chan, flips, bytes);
    sotto_free(flips);
    return status;
}

static int stock_take(sotto_ferret *f, sotto_chan *chan)
{
    const size_t bytes = start_sums(sotto_ferret_pending(f));
    if (bytes == 0) {
        return SOTTO_OK;
    }
    uint8_t *sums = sotto_calloc(bytes, 1);
    if (sums == NULL) {
        return stock_memory();
    }
    int status = sotto_chan_recv(chan, sums, bytes);
    if (status == SOTTO_OK) {
        status = sotto_ferret_stock_take(f, sums);
    }
    sotto_free(sums);
    return status;
}

/* Reads the flips of a level; its sums are owed then. */
static int stock_give(sotto_silent *s, sotto_chan *chan)
{
    const size_t starts = sotto_ferret_due(s->send), bytes = start_flips(starts);
    if (bytes == 0) {
        return SOTTO_OK;
    }
    uint8_t *flips = sotto_calloc(bytes, 1);
    s->owed = sotto_calloc(start_sums(starts), 1);
    s->owed_bytes = s->owed != NULL ? start_sums(starts) : 0;
    int status = flips != NULL && s->owed != NULL ? sotto_chan_recv(chan, flips, bytes) : stock_memory();
    if (status == SOTTO_OK) {
        status = sotto_ferret_stock_give(s->send, flips, s->owed);
    }
    sotto_free(flips);
    return status;
}

int sotto_silent_stock_say(sotto_silent *s, sotto_chan *chan)
{
    int status = usable(s);
    if (status == SOTTO_OK) {
        status = pay(s, chan);
    }
    if (status == SOTTO_OK) {
        status = stock_ask(s->recv, chan);
    }
    return end(s, status);
}

int sotto_silent_stock_hear(sotto_silent *s, sotto_chan *chan)
{
    int status = usable(s);
    if (status == SOTTO_OK) {
        status = stock_take(s->recv, chan);
    }
    if (status == SOTTO_OK) {
        status = stock_give(s, chan);
    }
    return end(s, status);
}

/* ---- in step --------------------------------------------------------------------------------------------------- */

/* Where the parties call in step, a direction that has no trees left gets a stock of its own. */
static int restock_send(sotto_silent *s, sotto_chan *chan)
{
    int status = sotto_ferret_stock(s->send, IN_STEP_ROUNDS);
    while (status == SOTTO_OK && sotto_ferret_due(s->send) > 0) {
        status = stock_give(s, chan);
        if (status == SOTTO_OK) {
            status = pay(s, chan);
        }
    }
    return status;
}

static int restock_recv(sotto_silent *s, sotto_chan *chan)
{
    int status = sotto_ferret_stock(s->recv, IN_STEP_ROUNDS);
    while (status == SOTTO_OK && sotto_ferret_due(s->recv) > 0) {
        status = stock_ask(s->recv, chan);
        if (status == SOTTO_OK) {
            status = stock_take(s->recv, chan);
        }
    }
    return status;
}

/* OTs of the next part of a call: as many as the trees that are left give. */
static size_t in_step(const sotto_ferret *f, size_t left)
{
    const size_t most = sotto_ferret_left(f) * SOTTO_FERRET_LEAVES;
    return left < most ? left : most;
}

static size_t chunk(size_t left)
{
    const size_t most = IN_STEP_TREES * SOTTO_FERRET_LEAVES;
    return left < most ? left : most;
}

int sotto_silent_send(sotto_silent *s, sotto_chan *chan, int random, size_t count, sotto_block *q)
{
    uint8_t answer[IN_STEP_TREES * SOTTO_FERRET_SUM_BYTES];
    int status = usable(s);
    for (size_t done = 0; done < count && status == SOTTO_OK;) {
        if (sotto_ferret_left(s->send) == 0) {
            status = restock_send(s, chan);
        }
        const size_t stop = done + in_step(s->send, count - done);
        for (size_t n; done < stop && status == SOTTO_OK; done += n) {
            n = chunk(stop - done);
            status = give_part(s, chan, random, n, q + done, answer);
            if (status == SOTTO_OK) {
                status = sotto_chan_send(chan, answer, sotto_silent_answer_bytes(n));
            }
            if (status == SOTTO_OK) { /* the receiver works on it meanwhile */
                status = sotto_chan_flush(chan);
            }
        }
    }
    return end(s, status);
}

int sotto_silent_recv(sotto_silent *s, sotto_chan *chan, const uint8_t *choices, size_t count, sotto_block *t)
{
    uint8_t answer[IN_STEP_TREES * SOTTO_FERRET_SUM_BYTES];
    int status = none_open(s);
    for (size_t done = 0; done < count && status == SOTTO_OK;) {
        if (sotto_ferret_left(s->recv) == 0) {
            status = restock_recv(s, chan);
        }
        const size_t stop = done + in_step(s->recv, count - done);
        for (size_t at = done, n; at < stop && status == SOTTO_OK; at += n) {
            n = chunk(stop - at);
            status = ask_part(s, chan, choices == NULL ? NULL : choices + at / 8, n);
        }
        for (size_t n; done < stop && status == SOTTO_OK; done += n) {
            n = chunk(stop - done);
            status = sotto_chan_recv(chan, answer, sotto_silent_answer_bytes(n));
            if (status == SOTTO_OK) {
                take_part(s, answer, n, t + done);
            }
        }
    }
    return end(s, status);
}

