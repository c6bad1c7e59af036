/*
 * passbook.h - the book of passes given, pauses and used tokens: one owner's list, and its text.
 *
 * A pass is for a host with all below it, or for every host (a pause); for one client or for all;
 * until a time, or for good. A token of a block page is good once; its number is kept while it
 * could be used again. The same text is kept in a file and sent to other processes; a text that
 * breaks a rule or was cut short is refused whole. Knows nothing of files or processes.
 *
 *     dejunk passes 1
 *     shop.example * 1700000000000      host or *, client or *, ms since 1970 or always
 *     * 192.168.1.7 always
 *     used: 1234567890123456789 1700000000000      a token's number, ms since 1970
 *     end 3
 */
#ifndef DEJUNK_ADMIN_PASSBOOK_H
#define DEJUNK_ADMIN_PASSBOOK_H

#include "base/error.h"
#include "proxy/proxy.h"

enum {
    PASSBOOK_HOST_BYTES = 253,
    PASSBOOK_CLIENT_BYTES = 63,
    PASSBOOK_TOKENS = 4096, // the oldest goes for one more
    PASSBOOK_TEXT_BYTES = PROXY_PASSES * (PASSBOOK_HOST_BYTES + PASSBOOK_CLIENT_BYTES + 24) +
                          PASSBOOK_TOKENS * (6 + 21 + 21) + 64,
};

struct passbook; // opaque

struct passbook *passbook_new(void);
void passbook_free(struct passbook **book);

/* Gives a pass, in place of an earlier one for the same host and client. An empty host is every
 * host, an empty client every client. ERROR_SYNTAX: no host name or address; ERROR_LIMIT: the book
 * is full. */
enum error_kind passbook_give(struct passbook *book, struct span host, struct span client,
                              uint64_t until_ms, struct error *error);
/* False when there was none. */
bool passbook_take_back(struct passbook *book, struct span host, struct span client);
/* Keeps the number of a token until then. False: it was used before. */
bool passbook_use_token(struct passbook *book, uint64_t number, uint64_t until_ms);
/* Takes out what has ended; true when there was any pass. */
bool passbook_expire(struct passbook *book, uint64_t now_ms);
/* When the next pass ends; PROXY_PASS_FOR_GOOD: none does. */
uint64_t passbook_next_end_ms(const struct passbook *book);
/* What is in it; borrowed until the next change. */
struct proxy_passes passbook_view(const struct passbook *book);

/* Appends the text. False when `out` is full. */
bool passbook_write(const struct passbook *book, struct buffer *out);
/* In place of what is in the book, which stays as it was on an error: ERROR_SYNTAX, ERROR_LIMIT. */
enum error_kind passbook_read(struct passbook *book, struct span text, struct error *error);

#endif
