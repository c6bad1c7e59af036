/*
 * choice.h - is this tunnel opened? Config, the list of hosts never opened, and what was learned.
 *
 * One for each proxy. Asked twice for a CONNECT: when its host is known, and again when the
 * family of the browser's hello is. What handshakes came to is noted here, counts at once, and is
 * told to whoever keeps it for all workers.
 */
#ifndef DEJUNK_PROXY_CHOICE_H
#define DEJUNK_PROXY_CHOICE_H

#include "proxy/learned.h"
#include "proxy/proxy.h"
#include "proxy/settings.h"

struct choice; // opaque

/* `seams` is borrowed for the choice's life. */
struct choice *choice_new(const struct proxy_seams *seams);
void choice_free(struct choice **choice);

/* The list of hosts never opened: one a line, each with all below it, "#" begins a comment. What is
 * no host is passed over. Copied. */
void choice_set_list(struct choice *choice, struct span text);
/* The text of learned.h; on an error the old one stays. */
enum error_kind choice_set_learned(struct choice *choice, struct span text, struct error *error);

struct choice_question { // all borrowed
    struct settings *settings;
    const struct address *client;
    struct span user; // may be empty
    struct span host; // of CONNECT, lower case, no brackets
    uint64_t family;  // of the hello; 0: not known yet
};

#define CHOICE_ANSWERS(ROW)                                                                        \
    ROW(INTERCEPT, "intercept") /* with family 0: perhaps */                                       \
    ROW(OFF, "off")             /* intercept = none */                                             \
    ROW(SITE, "site")           /* a site or client section */                                     \
    ROW(LIST, "list")           /* no_intercept */                                                 \
    ROW(NOT_ENROLLED, "not-enrolled")                                                              \
    ROW(LEARNED, "learned")

enum choice_answer {
#define CHOICE_ID(id, word) CHOICE_##id,
    CHOICE_ANSWERS(CHOICE_ID)
#undef CHOICE_ID
};
const char *choice_word(enum choice_answer answer);

enum choice_answer choice_ask(struct choice *choice, const struct choice_question *question);

/* What a handshake that we took part in came to; question->family is known. `is_blocked`: rules
 * block the host, so it is never passed through. Cheap where nothing changes. */
void choice_note(struct choice *choice, const struct choice_question *question,
                 enum learned_kind kind, bool is_blocked);

#endif
