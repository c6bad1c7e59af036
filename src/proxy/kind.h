/*
 * kind.h - what a request is for, and where it comes from, as far as its fields tell.
 *
 * The type comes from Sec-Fetch-Dest where it is sent (Fetch Metadata; never over plain HTTP),
 * then from Accept and other fields, then from the path's extension, and when all are silent from
 * the response's type. The source is the page that caused the request: Referer, Origin, or the
 * request's own host where Sec-Fetch-Site says so; a Referer that is a style sheet or a frame
 * stands for the page that loaded it, where that load was seen. Knows nothing of rules.
 */
#ifndef DEJUNK_PROXY_KIND_H
#define DEJUNK_PROXY_KIND_H

#include "filter/request.h"
#include "http/message.h"
#include "http/target.h"
#include "io/address.h"

struct kind {
    enum request_type type;
    bool is_guess; // nothing in the request told the type
};

/* `path` is path and query. */
struct kind kind_of_request(const struct message *request, struct span path);
/* For a type that was a guess: by the Content-Type of the response; TYPE_OTHER when it does not
 * tell either. */
enum request_type kind_of_response(struct span content_type);

enum kind_party { KIND_PARTY_UNKNOWN, KIND_PARTY_FIRST, KIND_PARTY_THIRD };

struct kind_source {
    struct span page;      // URL or host; .at NULL: not known, or a navigation
    enum kind_party party; // by Sec-Fetch-Site, for where page is not known
};

struct kind_source kind_source_of(const struct message *request, const struct target *target,
                                  enum request_type type);

/* ---- pages behind style sheets and frames ---- */

enum { KIND_MEMORY_LOADS = 4096, KIND_MEMORY_MS = 10 * 60 * 1000 };

struct kind_memory; // of one worker: which page of which client loaded which URL

struct kind_memory *kind_memory_new(void);
void kind_memory_free(struct kind_memory **memory);
/* A client's page loaded `url` (http://host/path as asked for), a style sheet or a frame. */
void kind_memory_keep(struct kind_memory *memory, const struct address *client, struct span url,
                      struct span page, uint64_t now_ms);
/* The page behind `referer`, borrowed until the next call; .at NULL: not seen. */
struct span kind_memory_find(const struct kind_memory *memory, const struct address *client,
                             struct span referer, uint64_t now_ms);

#endif
