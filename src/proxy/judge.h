/*
 * judge.h - may this request go on? The rules, the host policies and the switches, joined.
 *
 * Gathers what the matcher wants to know of a request (type, source, party, client), asks it, and
 * takes off what sites, clients, pauses and whole-page exceptions take off. One for each proxy,
 * with the worker's matcher and its memory of which page loaded what. Answers nobody: answer.c
 * does.
 */
#ifndef DEJUNK_PROXY_JUDGE_H
#define DEJUNK_PROXY_JUDGE_H

#include "filter/amend.h"
#include "filter/match.h"
#include "io/loop.h"
#include "proxy/kind.h"
#include "proxy/passes.h"
#include "proxy/secret.h"
#include "proxy/settings.h"

struct judge; // opaque
struct page_rules;

/* `passes` is borrowed for the judge's life. */
struct judge *judge_new(struct loop *loop, const struct passes *passes);
void judge_free(struct judge **judge);
/* Another rule database from now on (NULL: no rules); referenced. */
void judge_use(struct judge *judge, struct database *database);
struct database *judge_database(const struct judge *judge);

struct case_file { // what is to be judged; all borrowed
    struct settings *settings;
    const struct message *request;
    const struct target *target;
    struct span url; // absolute
    const struct address *client;
    struct span user;               // may be empty
    const struct message *response; // NULL until it is there
    const struct address *server;   // NULL until it is known, or where another proxy knows it
};

struct judgement {
    bool is_filtered; // false: a switch, a pause or the config takes filtering off here
    bool is_stopped;  // by verdict.rule
    bool by_policy;   // by a host policy, not by a rule
    bool by_image_policy;
    bool type_is_guess;
    bool wants_gpc;
    enum request_type type;
    enum kind_party party;
    struct verdict verdict;
    struct span source; // the page that it is for; in the arena or the request; may be empty
};

/* Before a connection is asked for. */
void judge_request(struct judge *judge, const struct case_file *file, struct judgement *out);
/* At CONNECT. */
void judge_connect(struct judge *judge, const struct case_file *file, struct judgement *out);
/* What rules change in a request that goes on, and in its response: an array in the request's
 * arena, in the order of the lists. */
struct directives {
    struct directive *items;
    size_t count;
    bool may_grow; // when the response and the server's address are known
};
struct directives judge_directives(struct judge *judge, const struct case_file *file,
                                   const struct judgement *judgement);
struct amender *judge_amender(const struct judge *judge);

/* ---- for the pages themselves: page_edit.h ---- */

/* The installation's secret: pages' scripts ask under a name made with it. Borrowed for the judge's
 * life; NULL: none is put in. */
void judge_set_secret(struct judge *judge, const struct secret *secret);
const struct secret *judge_secret(const struct judge *judge);
/* The cosmetic rules of the database in force, which is not NULL. */
struct page_rules *judge_page_rules(struct judge *judge);
/* Bits of enum page_flag for the page that a request is for. */
unsigned judge_page_flags(struct judge *judge, const struct case_file *file,
                          const struct judgement *judgement);
/* Would what an element of this page, which is filtered, fetches be stopped for certain, and not
 * redirected? `client`: its address as text. is_host_only: whatever it asks of that host. *rule: by
 * which; 0: by a policy. */
bool judge_element(struct judge *judge, const struct case_file *file, const char *client,
                   struct span url, enum request_type type, bool is_host_only, rule_number *rule);
/* Does a name that the resolver found behind the host, or the address, stop it? */
bool judge_name(struct judge *judge, const struct case_file *file, struct span name,
                struct judgement *now);
bool judge_address(struct judge *judge, const struct case_file *file, const struct address *address,
                   struct judgement *now);

/* By the response's fields. True: it is to be dropped; *now says why. */
bool judge_fields(struct judge *judge, const struct case_file *file, struct judgement *now);
/* When the response's type is known, for a request whose own was a guess, and by the image policy.
 * The same comes back. */
bool judge_response(struct judge *judge, const struct case_file *file,
                    const struct message *response, struct judgement *now);
/* Does the cookie policy drop Set-Cookie from this host? */
bool judge_drops_cookies(const struct case_file *file, const struct judgement *judgement);

/* "||ads.example^ (easylist, line 123)" into `to`; cut to fit. */
enum { JUDGE_REASON_BYTES = 512 };
const char *judge_reason(const struct judge *judge, const struct judgement *judgement, char *to);

#endif
