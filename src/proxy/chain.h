/*
 * chain.h - what a changed body goes through: decode, edit, encode; a slice of time at a time.
 *
 *     give -> [coded bytes] -> decoder -> editors -> encoder -> [bytes for the browser] -> taken
 *
 * Both waiting lines have ceilings, and it is the caller who keeps to them: it gives no more while
 * the chain is busy, and takes what is there before it runs it again. Before the first run the
 * start of the decoded body can be looked at, and the body still be passed on as it came. Limits
 * of size, time and memory are for the editors: past one of them the rest is only copied. What
 * cannot be decoded ends the chain. Knows nothing of messages and connections.
 */
#ifndef DEJUNK_PROXY_CHAIN_H
#define DEJUNK_PROXY_CHAIN_H

#include "http/coding.h"
#include "io/loop.h"
#include "proxy/body_edit.h"

enum {
    CHAIN_EDITORS = 2,
    CHAIN_INPUT_BYTES = 2 * LOOP_SCRATCH_BYTES, // that wait to be decoded
    CHAIN_OUTPUT_BYTES = 64 * 1024,             // it stops with so much to be taken,
    CHAIN_OUTPUT_LIMIT = 16 * 1024 * 1024,      // and fails with more than this
    CHAIN_SLICE_US = 1000,
    CHAIN_PEEK_BYTES = 1024,
};

struct chain_limits { // of the editors
    uint64_t body_bytes;
    uint64_t time_ms;
    size_t held_bytes;
};

struct chain_events {
    /* An editor edits no more, and why; rule 0: none is known to be the cause. */
    void (*on_gave_up)(void *owner, const char *why, rule_number rule, uint64_t at_bytes);
};

struct chain; // opaque

/* `codings` are to be undone; `memory` is for them and for what editors hold; borrowed. */
struct chain *chain_new(const struct codings *codings, struct coding_memory *memory,
                        const struct chain_limits *limits, const struct chain_events *events,
                        void *owner);
void chain_free(struct chain **chain);

/* What an editor is made with; adding it takes it over. The first one added sees the bytes first.
 */
extern const struct body_edit_events chain_edit_events;
void *chain_edit_owner(struct chain *chain); // of the next editor to be added
void chain_add(struct chain *chain, struct body_edit *edit);
/* From here on the output is coded. False: too little memory is left, and it is not. */
bool chain_encode(struct chain *chain, enum coding coding);

/* Copies. False when that would pass CHAIN_INPUT_BYTES. */
bool chain_give(struct chain *chain, struct span bytes);
/* Nothing more will be given. */
void chain_end(struct chain *chain);

/* Before the first run: the start of the decoded body, as far as it is there, at most
 * CHAIN_PEEK_BYTES; *is_whole: nothing comes behind it. */
enum error_kind chain_peek(struct chain *chain, struct span *start, bool *is_whole,
                           struct error *error);
/* Before the first run: all that was given. */
struct span chain_raw(const struct chain *chain);

enum chain_state {
    CHAIN_HUNGRY,   // all that was given is in the output, or held by an editor
    CHAIN_BUSY,     // there is more to do at once, or the output is to be taken first
    CHAIN_FINISHED, // the rest is in the output
    CHAIN_FAILED,
};
/* Works for a slice of time. */
enum chain_state chain_run(struct chain *chain, struct error *error);

/* What waits for the browser; good until the next run. */
struct span chain_output(const struct chain *chain);
void chain_taken(struct chain *chain, size_t size);

/* Since the beginning: out of the editors, and what these say. */
struct chain_counts {
    uint64_t decoded_bytes, put_bytes;
    uint64_t edit_us;
    size_t held_most_bytes;
    struct body_edit_counts edits;
};
struct chain_counts chain_counts(const struct chain *chain);

#endif
