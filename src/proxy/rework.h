/*
 * rework.h - a response that is changed: whether, by what, and which of its fields then stay true.
 *
 *     rework_request    what is asked of the origin: codings that we can undo, validators
 *     rework_response   its head is there: is its body to be changed? Then the head waits
 *     rework_decide     its first bytes are there: is it what it says it is?
 *     chain_run ...     through decoder, editors and encoder
 *     rework_done       counted, and gone
 *
 * Lives inside an exchange, which moves the bytes. What is not to be changed goes by as it came.
 */
#ifndef DEJUNK_PROXY_REWORK_H
#define DEJUNK_PROXY_REWORK_H

#include "proxy/chain.h"
#include "proxy/context.h"
#include "proxy/page_edit.h"
#include "proxy/text_edit.h"
#include "proxy/validators.h"

enum { REWORK_PEEK_LIMIT_BYTES = LOOP_SCRATCH_BYTES }; // coded, in which the start must be

struct rework {
    struct chain *chain;            // NULL: the body goes by
    bool is_waiting;                // with the head, for rework_decide()
    bool has_changed;               // once it is done: the browser got other bytes,
    struct body_edit_counts counts; // and without these

    struct proxy *proxy; // rework.c only, from here
    struct case_file file;
    const struct judgement *judgement;
    const struct directives *directives;
    struct message *response;
    uint64_t number; // of the exchange
    bool may_be_page, may_be_text;
    bool is_page;                  // it is
    uint64_t generation, of_rules; // of_rules: that rule numbers belong to
    struct validators asked;
    struct span accepts; // the browser's Accept-Encoding
    struct page_subject subject;
    struct field *fields; // before anything was changed
    size_t field_count;
    bool is_encoded;
    enum coding encoding;
};

/* Changes Accept-Encoding and conditions of the request. All is borrowed. */
struct rework_question {
    struct proxy *proxy;
    struct case_file file;
    const struct judgement *judgement;
    const struct directives *directives;
    uint64_t number;
};
void rework_request(struct rework *rework, struct message *request,
                    const struct rework_question *question);

/* With the response's head, all else done to its fields. True: its body is to be given to the
 * chain, and its head to wait. A 304 to a page that we edit gets the fields of that page. */
bool rework_response(struct rework *rework, struct message *response);

enum rework_decision {
    REWORK_WAITS,  // for more of the body
    REWORK_EDITS,  // write the head, run the chain; its framing is chunked, or until close
    REWORK_PASSES, // write the head, then chain_raw(), then rework_done(): it goes by
};
enum rework_decision rework_decide(struct rework *rework);

/* At the end of a body that was changed: trailers stay true, too. */
void rework_trailers(struct rework *rework);

/* Harmless when nothing was begun. */
void rework_done(struct rework *rework);

#endif
