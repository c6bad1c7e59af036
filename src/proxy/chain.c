#include "proxy/chain.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

enum {
    STACKED_BITE_BYTES =
        1024,               // what two codings are undone of at once: it may be a megabyte between
    KEEP_BYTES = 16 * 1024, // room that an empty buffer keeps
};

struct link { // an editor's place, and who it tells
    struct chain *chain;
    size_t index;
};

struct chain {
    struct decoder *decoder; // NULL: not coded
    struct encoder *encoder; // NULL: not to be
    struct coding_memory *memory;
    size_t held_bytes; // by editors, counted in memory->used_bytes
    struct chain_limits limits;
    const struct chain_events *events;
    void *owner;
    struct body_edit edits[CHAIN_EDITORS];
    struct link links[CHAIN_EDITORS];
    size_t edit_count, edits_finished;
    bool is_stacked;
    bool is_stopped; // the editors are passed by

    struct buffer input;
    size_t input_taken;
    bool has_ended;
    struct buffer peeked;
    bool has_run;
    bool is_decoded; // all of it
    bool is_finished, has_failed;
    struct buffer edited; // what came out of the editors, for the encoder
    struct buffer output;
    size_t output_taken;
    struct chain_counts counts;
};

static struct span rest_of(const struct buffer *buffer, size_t taken)
{
    return buffer->size > taken ? span_from(buffer_span(buffer), taken) : SPAN("");
}

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- life ---- */

struct chain *chain_new(const struct codings *codings, struct coding_memory *memory,
                        const struct chain_limits *limits, const struct chain_events *events,
                        void *owner)
{
    struct chain *chain = calloc(1, sizeof *chain);

    if (!chain)
        abort(); // out of memory ends the worker; the master starts another
    if (codings->count)
        chain->decoder = decoder_new(codings, memory);
    chain->is_stacked = codings->count > 1;
    chain->memory = memory;
    chain->limits = *limits;
    chain->events = events;
    chain->owner = owner;
    chain->input.limit_bytes = CHAIN_INPUT_BYTES;
    chain->peeked.limit_bytes = CHAIN_PEEK_BYTES;
    chain->edited.limit_bytes = CHAIN_OUTPUT_LIMIT;
    chain->output.limit_bytes = CHAIN_OUTPUT_LIMIT;
    return chain;
}

void chain_free(struct chain **pointer)
{
    struct chain *chain = *pointer;

    if (!chain)
        return;
    chain->memory->used_bytes -= chain->held_bytes;
    for (size_t i = 0; i < chain->edit_count; i++)
        body_edit_done(&chain->edits[i]);
    decoder_free(&chain->decoder);
    encoder_free(&chain->encoder);
    buffer_release(&chain->input);
    buffer_release(&chain->peeked);
    buffer_release(&chain->edited);
    buffer_release(&chain->output);
    free(chain);
    *pointer = NULL;
}

void *chain_edit_owner(struct chain *chain)
{
    assert(chain->edit_count < CHAIN_EDITORS);
    chain->links[chain->edit_count] = (struct link){ chain, chain->edit_count };
    return &chain->links[chain->edit_count];
}

void chain_add(struct chain *chain, struct body_edit *edit)
{
    assert(chain->edit_count < CHAIN_EDITORS && !chain->has_run);
    chain->edits[chain->edit_count++] = *edit;
    *edit = (struct body_edit){ .ops = NULL };
}

bool chain_encode(struct chain *chain, enum coding coding)
{
    assert(!chain->encoder && !chain->has_run);
    chain->encoder = encoder_new(coding, chain->memory);
    return chain->encoder != NULL;
}

/* ---- editing ---- */

static void put_edited(struct chain *chain, struct span bytes)
{
    chain->counts.put_bytes += bytes.size;
    if (!buffer_append(chain->encoder ? &chain->edited : &chain->output, bytes))
        chain->has_failed = true;
}

/* Into the editor of that place; behind the last one it is out. */
static void pass_to(struct chain *chain, size_t index, struct span bytes)
{
    if (index == chain->edit_count) {
        put_edited(chain, bytes);
        return;
    }
    while (bytes.size) {
        size_t size = bytes.size < BODY_EDIT_STEP_BYTES ? bytes.size : BODY_EDIT_STEP_BYTES;
        chain->edits[index].ops->feed(chain->edits[index].editor, span_slice(bytes, 0, size));
        bytes = span_from(bytes, size);
    }
}

static void on_output(void *owner, struct span bytes)
{
    struct link *link = owner;

    pass_to(link->chain, link->index + 1, bytes);
}

static void on_gave_up(void *owner, const char *why, rule_number rule)
{
    struct chain *chain = ((struct link *)owner)->chain;

    chain->events->on_gave_up(chain->owner, why, rule, chain->counts.decoded_bytes);
}

const struct body_edit_events chain_edit_events = { on_output, on_gave_up };

/* What editors hold counts like the memory of codings. */
static void count_held(struct chain *chain, size_t held)
{
    chain->memory->used_bytes += held - chain->held_bytes;
    chain->held_bytes = held;
}

/* Out with what the editors hold; from here on they are passed by. The last of them is the first:
 * it shall not work on what the others let go. */
static void stop(struct chain *chain, const char *why)
{
    rule_number costly = 0;

    for (size_t i = chain->edit_count; i-- > 0;) {
        rule_number rule = 0;
        chain->edits[i].ops->stop(chain->edits[i].editor, &rule);
        if (rule)
            costly = rule;
    }
    chain->is_stopped = true;
    count_held(chain, 0);
    chain->events->on_gave_up(chain->owner, why, costly, chain->counts.decoded_bytes);
}

static void keep_to_limits(struct chain *chain)
{
    size_t held = 0;

    for (size_t i = 0; i < chain->edit_count; i++)
        held += chain->edits[i].ops->held(chain->edits[i].editor);
    if (held > chain->counts.held_most_bytes)
        chain->counts.held_most_bytes = held;
    count_held(chain, held);
    if (chain->counts.decoded_bytes > chain->limits.body_bytes)
        stop(chain, "it is longer than edit_size");
    else if (chain->counts.edit_us > chain->limits.time_ms * 1000)
        stop(chain, "it took longer than edit_time");
    else if (held > chain->limits.held_bytes)
        stop(chain, "it held more than edit_held");
    else if (chain->memory->used_bytes > chain->memory->limit_bytes)
        stop(chain, "edit_memory is in use");
}

static void edit(struct chain *chain, struct span bytes)
{
    uint64_t began_us;

    chain->counts.decoded_bytes += bytes.size;
    if (chain->is_stopped || chain->edit_count == 0) {
        put_edited(chain, bytes);
        return;
    }
    began_us = now_us();
    pass_to(chain, 0, bytes);
    chain->counts.edit_us += now_us() - began_us;
    keep_to_limits(chain);
}

/* A step of what editors do when the body has ended. False: there are more. */
static bool finish_edits(struct chain *chain)
{
    const struct body_edit *edit = &chain->edits[chain->edits_finished];
    uint64_t began_us;

    if (chain->is_stopped || chain->edits_finished == chain->edit_count)
        return true;
    began_us = now_us();
    if (edit->ops->finish(edit->editor))
        chain->edits_finished++;
    chain->counts.edit_us += now_us() - began_us;
    if (chain->edits_finished < chain->edit_count)
        keep_to_limits(chain);
    return false;
}

/* ---- encoding ---- */

static void encode(struct chain *chain, enum encoder_order order)
{
    struct span in = buffer_span(&chain->edited);
    size_t made, room;

    if (!chain->encoder)
        return;
    do {
        if (!buffer_reserve(&chain->output, CODING_STEP_BYTES)) {
            chain->has_failed = true;
            return;
        }
        room = chain->output.capacity - chain->output.size;
        encoder_run(chain->encoder, &in, order, chain->output.at + chain->output.size, room, &made);
        chain->output.size += made;
    } while (made == room);
    chain->edited.size = 0;
    if (chain->edited.capacity > CHAIN_OUTPUT_BYTES)
        buffer_release(&chain->edited);
}

/* ---- decoding ---- */

bool chain_give(struct chain *chain, struct span bytes)
{
    if (chain->input_taken == chain->input.size && chain->has_run)
        chain->input_taken = chain->input.size = 0;
    return buffer_append(&chain->input, bytes);
}

void chain_end(struct chain *chain)
{
    chain->has_ended = true;
}

/* Some of a body that is not coded, where it is. */
static struct span take_plain(struct chain *chain, bool *is_dry)
{
    struct span bytes = rest_of(&chain->input, chain->input_taken);

    if (bytes.size > BODY_EDIT_STEP_BYTES)
        bytes.size = BODY_EDIT_STEP_BYTES;
    chain->input_taken += bytes.size;
    *is_dry = chain->input_taken == chain->input.size;
    chain->is_decoded = *is_dry && chain->has_ended;
    return bytes;
}

/* Some of the body, decoded. *is_dry: there is no more of it now. */
static enum error_kind decode(struct chain *chain, char *to, size_t room, size_t *made,
                              bool *is_dry, struct error *error)
{
    struct span in = rest_of(&chain->input, chain->input_taken);
    size_t bite = chain->is_stacked ? STACKED_BITE_BYTES : room, all = in.size;
    enum error_kind kind = ERROR_NONE;
    bool is_last;

    if (in.size > bite)
        in.size = bite;
    is_last = chain->has_ended && in.size == all;
    bite = in.size;
    if (chain->decoder) {
        kind = decoder_run(chain->decoder, &in, is_last, to, room, made, error);
    } else {
        *made = in.size < room ? in.size : room;
        if (*made)
            memcpy(to, in.at, *made);
        in = span_from(in, *made);
    }
    chain->input_taken += bite - in.size;
    *is_dry = *made < room && chain->input_taken == chain->input.size;
    if (!chain->decoder && chain->input_taken == chain->input.size)
        *is_dry = true;
    if (*is_dry && chain->has_ended)
        chain->is_decoded = true;
    return kind;
}

enum error_kind chain_peek(struct chain *chain, struct span *start, bool *is_whole,
                           struct error *error)
{
    bool is_dry = chain->is_decoded;
    enum error_kind kind = ERROR_NONE;

    assert(!chain->has_run);
    if (!buffer_reserve(&chain->peeked, CHAIN_PEEK_BYTES - chain->peeked.size))
        assert(!"room for what is peeked at");
    while (!kind && !is_dry && chain->peeked.size < CHAIN_PEEK_BYTES) {
        size_t made = 0;
        kind = decode(chain, chain->peeked.at + chain->peeked.size,
                      CHAIN_PEEK_BYTES - chain->peeked.size, &made, &is_dry, error);
        chain->peeked.size += made;
    }
    *start = buffer_span(&chain->peeked);
    *is_whole = chain->is_decoded;
    return kind;
}

struct span chain_raw(const struct chain *chain)
{
    assert(!chain->has_run);
    return buffer_span(&chain->input);
}

/* ---- all of it ---- */

static void begin(struct chain *chain)
{
    chain->has_run = true;
    edit(chain, buffer_span(&chain->peeked));
    buffer_release(&chain->peeked);
}

static enum chain_state fail(struct chain *chain, enum error_kind kind, struct error *error)
{
    chain->has_failed = true;
    if (!kind)
        error_set(error, ERROR_LIMIT, "more than %d MB came out at once",
                  CHAIN_OUTPUT_LIMIT / 1024 / 1024);
    return CHAIN_FAILED;
}

/* Decodes and edits some more. *is_dry: there is no more of the body now. */
static enum error_kind work(struct chain *chain, bool *is_dry, struct error *error)
{
    char piece[BODY_EDIT_STEP_BYTES];
    enum error_kind kind = ERROR_NONE;
    size_t made = 0;

    if (!chain->decoder) {
        edit(chain, take_plain(chain, is_dry));
    } else {
        kind = decode(chain, piece, sizeof piece, &made, is_dry, error);
        edit(chain, span_of(piece, made));
    }
    if (!kind)
        encode(chain, *is_dry && !chain->is_decoded ? ENCODER_FLUSH : ENCODER_GO_ON);
    return kind;
}

/* After all was decoded. */
static void end(struct chain *chain)
{
    chain->is_finished = finish_edits(chain);
    encode(chain, chain->is_finished ? ENCODER_FINISH : ENCODER_GO_ON);
}

enum chain_state chain_run(struct chain *chain, struct error *error)
{
    uint64_t until_us = now_us() + CHAIN_SLICE_US;
    enum error_kind kind;
    bool is_dry = false;

    assert(!chain->has_failed);
    if (!chain->has_run)
        begin(chain);
    while (!chain->has_failed && !chain->is_finished && !is_dry) {
        if (chain->output.size - chain->output_taken >= CHAIN_OUTPUT_BYTES)
            return CHAIN_BUSY;
        if (chain->is_decoded) {
            end(chain);
        } else {
            kind = work(chain, &is_dry, error);
            if (kind)
                return fail(chain, kind, error);
            is_dry = is_dry && !chain->is_decoded;
        }
        if (!is_dry && !chain->is_finished && now_us() >= until_us)
            return CHAIN_BUSY;
    }
    if (chain->has_failed)
        return fail(chain, 0, error);
    if (chain->is_finished)
        return CHAIN_FINISHED;
    chain->input_taken = chain->input.size = 0;
    if (chain->input.capacity > KEEP_BYTES)
        buffer_release(&chain->input);
    return CHAIN_HUNGRY;
}

struct span chain_output(const struct chain *chain)
{
    return rest_of(&chain->output, chain->output_taken);
}

void chain_taken(struct chain *chain, size_t size)
{
    assert(size <= chain->output.size - chain->output_taken);
    chain->output_taken += size;
    if (chain->output_taken < chain->output.size)
        return;
    chain->output_taken = chain->output.size = 0;
    if (chain->output.capacity > KEEP_BYTES)
        buffer_release(&chain->output);
}

struct chain_counts chain_counts(const struct chain *chain)
{
    struct chain_counts counts = chain->counts;

    for (size_t i = 0; i < chain->edit_count; i++) {
        struct body_edit_counts of_edit = { 0, 0 };
        chain->edits[i].ops->counts(chain->edits[i].editor, &of_edit);
        counts.edits.removed_bytes += of_edit.removed_bytes;
        counts.edits.removed_elements += of_edit.removed_elements;
    }
    return counts;
}
