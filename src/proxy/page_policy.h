/*
 * page_policy.h - a page's Content-Security-Policy, changed just so far that what we put in works.
 *
 * By hash, never by nonce: a nonce would be new with each answer, and a page from a cache keeps
 * its old body. Where a policy lets everything inline in anyway nothing is added, because a hash
 * would take that away from the page. Knows nothing of rules.
 */
#ifndef DEJUNK_PROXY_PAGE_POLICY_H
#define DEJUNK_PROXY_PAGE_POLICY_H

#include "http/message.h"

enum { PAGE_HASH_BYTES = 64 }; // "'sha256-...'" with a NUL

struct page_policy {           // what must be let in; .at NULL: nothing of that kind
    struct span style, script; // hashes as in the policy
    struct span connect;       // a URL that ends in a slash
};

/* 'sha256-...' of a text, into `to`. */
struct span page_policy_hash(char to[PAGE_HASH_BYTES], struct span text);

/* Appends the policy (of one field or <meta>, perhaps several with commas between), changed. False:
 * nothing is to be changed, or it does not fit; `to` is as it was. */
bool page_policy_change(struct buffer *to, struct span policy, const struct page_policy *needs);

/* Does it let scripts run at all? */
bool page_policy_runs_scripts(struct span policy);

/* Every such field of a message, the report-only ones too. */
void page_policy_amend(struct message *response, const struct page_policy *needs);
/* Do all of them let scripts run? */
bool page_policy_allows_scripts(const struct message *response);

#endif
