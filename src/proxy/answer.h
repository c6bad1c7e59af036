/*
 * answer.h - what an exchange is answered with in place of an origin's response.
 *
 * Pages that say in words what happened, block pages, stubs, empty answers, our own pages when
 * nobody is behind them. Each ends what was under way with an origin. Needs that no status is out.
 */
#ifndef DEJUNK_PROXY_ANSWER_H
#define DEJUNK_PROXY_ANSWER_H

#include "proxy/exchange.h"

struct answer {
    unsigned status;
    enum exchange_action action;
    struct span title, text, html, extra, proxy_status;
    struct span content_type, body; // content_type.at set: in place of a page
    bool close;
};

void answer_with(struct exchange *x, const struct answer *what);

/* status 0: the one that goes with the kind of error. */
void answer_error(struct exchange *x, enum exchange_action action, unsigned status,
                  const struct error *error);
/* The request is not as it should be; the connection ends. */
void answer_bad_request(struct exchange *x, unsigned status, const struct error *error);
/* Asks for a user name and a password. */
void answer_login(struct exchange *x);
/* When there is nobody behind our own name, or it does not answer. */
void answer_local(struct exchange *x);
/* By what the rules say: a stub, or as if the browser had cancelled it; page visits are told. */
void answer_stopped(struct exchange *x);
/* The origin was asked for before the browser asked (scope->failure): told once. */
void answer_old_failure(struct exchange *x, struct scope *scope);
/* What the script in a page asks for elements that came later. False: it is no such question. */
bool answer_late(struct exchange *x);

#endif
