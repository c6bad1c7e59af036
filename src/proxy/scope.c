#include "proxy/scope.h"

#include <stdlib.h>

struct scope *scope_new(const struct scope_plan *plan)
{
    struct scope *scope =
        calloc(1, sizeof *scope + plan->host.size + plan->to.size + plan->user.size);
    char *at;

    if (!scope)
        abort(); // out of memory ends the worker; the master starts another
    at = scope->text;
    scope->host = span_keep(&at, plan->host);
    scope->to = span_keep(&at, plan->to);
    scope->user = span_keep(&at, plan->user);
    scope->port = plan->port;
    scope->to_is_literal = plan->to_is_literal;
    scope->to_is_rooted = plan->to_is_rooted;
    scope->is_stopped = plan->is_stopped;
    if (plan->hello) {
        scope->is_secure = true;
        scope->offers_http1 = hello_offers(plan->hello, SPAN("http/1.1"));
        scope->hello = hello_copy(plan->hello);
    }
    if (plan->failure) {
        scope->failure = malloc(sizeof *scope->failure);
        if (!scope->failure)
            abort();
        *scope->failure = *plan->failure;
        scope->failed_ms = plan->now_ms;
    }
    return scope;
}

void scope_free(struct scope **scope)
{
    struct scope *old = *scope;

    *scope = NULL;
    if (!old)
        return;
    free((struct hello *)old->hello);
    free(old->failure);
    free(old);
}
