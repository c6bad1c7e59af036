/*
 * match.h - what the rules say to one request.
 *
 * A matcher belongs to one thread (a worker): it holds a reference to the database, the room for
 * the URL under examination and the regular expressions that were compiled so far. Asking
 * allocates nothing and takes no lock, but for a regular expression's first use. No answer
 * depends on an earlier question. Knows nothing of HTTP, sockets or clocks.
 *
 *      struct matcher *matcher = matcher_new(database);      // once per worker and database
 *      ...
 *      struct request request = {
 *          .url = SPAN("https://ads.example/banner.js?x=1"),
 *          .source = SPAN("https://news.example/"),          // or just "news.example"
 *          .type = TYPE_SCRIPT,
 *          .method = SPAN("GET"),
 *      };
 *      struct verdict verdict;
 *      struct rule_view why;
 *
 *      matcher_ask(matcher, &request, &verdict);
 *      if (verdict.action == VERDICT_BLOCK) {
 *          database_rule(database, verdict.rule, &why);       // why.text, why.list, why.line
 *          ...
 *      }
 *
 * The order of questions over a request's life:
 *      matcher_connect()     at CONNECT, when only the host is known
 *      matcher_ask()         when the request's headers are in
 *      matcher_directives()  what to change in a request that passes, or in its response
 *      matcher_name()        when the resolver has found a canonical name
 *      matcher_address()     when the address is known, before connecting to it
 *      matcher_response()    when the response's headers are in
 */
#ifndef DEJUNK_FILTER_MATCH_H
#define DEJUNK_FILTER_MATCH_H

#include "filter/conditions.h"
#include "filter/database.h"
#include "filter/request.h"

enum party {
    PARTY_BY_SOURCE, // compare registrable domains; without a source: first
    PARTY_FIRST,     // the caller knows better (Sec-Fetch-Site) where it has no source
    PARTY_THIRD,
};

struct request {
    struct span url;    // absolute, as it came; the first URL_LIMIT bytes count
    struct span source; // URL or host of the page or frame; empty: not known. Of a page visit: to
                        // conditions of pages it is the page's own then
    enum request_type type;
    enum party party;        // looked at only when source is empty
    struct span method;      // empty: not known, rules with `method=` do not match
    struct span client;      // address of who asks, as text; empty: not known
    struct span client_name; // and its name (user, or name from the config)
    struct span address;     // of the server, as text; empty: not known yet
    /* Where they are NULL, rules with `requestheader=` or `header=` do not match. */
    condition_value *request_field, *response_field;
    void *field_owner;
};

enum verdict_action {
    VERDICT_PASS,      // no rule wants to stop it
    VERDICT_EXCEPTION, // `overridden` would have stopped it, `rule` is the exception
    VERDICT_BLOCK,     // `rule` stops it
    VERDICT_REDIRECT,  // `rule` stops it, and `redirect` names the stub to answer with
};

struct verdict {
    enum verdict_action action;
    rule_number rule;          // what decided; 0 with VERDICT_PASS
    rule_number overridden;    // VERDICT_EXCEPTION: the rule that would have stopped it
    rule_number redirect_rule; // VERDICT_REDIRECT: where the stub's name comes from
    struct span redirect;      // its name as the list spells it, without a priority
};

struct matcher; // opaque

/* With a reference to `database`, which may be NULL: every verdict is VERDICT_PASS then. */
struct matcher *matcher_new(struct database *database);
void matcher_free(struct matcher **matcher);
/* Another database from the next question on. What was compiled for the old one is dropped. */
void matcher_use(struct matcher *matcher, struct database *database);
struct database *matcher_database(const struct matcher *matcher);

/* Is the request to be stopped? Takes in everything that is known before connecting but for
 * names and addresses found by the resolver. A URL that is none passes. */
void matcher_ask(struct matcher *matcher, const struct request *request, struct verdict *verdict);

/* At CONNECT: VERDICT_BLOCK only by rules that stop every request to `host` (a name or address,
 * no port), VERDICT_EXCEPTION where such a rule is lifted by an exception of that shape. */
void matcher_connect(struct matcher *matcher, struct span host, struct verdict *verdict);

/* The list whose hosts, by important exceptions, are not filtered at all: captive portals and
 * connectivity checks. Is `host` (as above) on it, or below one that is? */
#define MATCHER_UNFILTERED "hosts that are never filtered"
bool matcher_never_filters(struct matcher *matcher, struct span host);

/* The same request under the name that `name` is an alias of (the CNAME chain's end, or each
 * link of it). Rules with `cname` exempt. */
void matcher_name(struct matcher *matcher, const struct request *request, struct span name,
                  struct verdict *verdict);

/* Only rules with `ipaddress=`; request->address is set. */
void matcher_address(struct matcher *matcher, const struct request *request,
                     struct verdict *verdict);

/* Only rules with `header=`; request->response_field is set. */
void matcher_response(struct matcher *matcher, const struct request *request,
                      struct verdict *verdict);

#define DIRECTIVE_BIT(kind) (1u << (kind))
#define DIRECTIVES_ALL ((1u << DIRECTIVES) - 1)
#define DIRECTIVES_LIMIT 256u // for one request; rules beyond are not looked for

struct directive {
    enum directive_kind kind;
    bool is_exception; // DIRECTIVE_COOKIE: the cookies that it names stay as they are
    rule_number rule;
    struct span value; // points into the database
};

/* Fills `out` (room for `limit`) with the directives of the wanted kinds that hold for the
 * request, exceptions taken off, in the order of their lists; returns how many. */
size_t matcher_directives(struct matcher *matcher, const struct request *request, uint32_t wanted,
                          struct directive *out, size_t limit);

/* Of the last matcher_directives(): could there be more when the server's address or the response's
 * fields are known, which the request did not tell? */
bool matcher_directives_wait(const struct matcher *matcher);

/* Bits of enum page_flag: what exceptions say about a page as a whole; asked with the page's URL
 * and TYPE_DOCUMENT, or TYPE_SUBDOCUMENT with its parent as source. */
unsigned matcher_page(struct matcher *matcher, const struct request *page);

/* Does the page that asks (its URL or host; empty: not known) have an exception which lets through
 * what `rule` would stop? */
bool matcher_page_exempts(struct matcher *matcher, struct span page, rule_number rule);
/* Does it have one with `document`, so that rules change nothing on it either? */
bool matcher_page_is_free(struct matcher *matcher, struct span page);
/* The exceptions that matcher_page_exempts() goes by, whatever the rule; returns how many there
 * are, fills in at most `limit`. */
size_t matcher_page_rules(struct matcher *matcher, struct span page, rule_number *out,
                          size_t limit);

/* Every rule that matches the request, whether it decides or not, in the order of lists and
 * lines: what `dejunk explain` shows. Slower than matcher_ask(). Returns how many there are;
 * fills in at most `limit`. */
size_t matcher_explain(struct matcher *matcher, const struct request *request, rule_number *out,
                       size_t limit);

#endif
