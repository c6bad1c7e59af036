#include "proxy/bound.h"

bool bound_is_for(struct span value)
{
    return span_starts_nocase(value, SPAN("NTLM")) || span_starts_nocase(value, SPAN("Negotiate"));
}

bool bound_is_offered(struct span list)
{
    struct span element;

    while (span_next_element(&list, &element))
        if (bound_is_for(element))
            return true;
    return false;
}

void bound_drop(struct session *session)
{
    struct outgoing *bound = session->bound;

    session->bound = NULL;
    if (bound)
        outgoing_close(bound, false);
}

static void on_readable(void *owner)
{
    struct session *session = owner;

    if (!outgoing_is_quiet(session->bound))
        bound_drop(session);
}

static void on_end(void *owner)
{
    bound_drop(owner);
}

static const struct outgoing_events events = { on_readable, on_end, on_end };

void bound_keep(struct session *session, struct outgoing **outgoing, uint64_t idle_ms)
{
    struct outgoing *bound = *outgoing;

    *outgoing = NULL;
    bound_drop(session);
    session->bound = bound;
    bound->events = &events;
    bound->owner = session;
    bound->is_fresh = false;
    stream_want(&bound->stream, STREAM_READ);
    loop_timer_set(&bound->timer, idle_ms);
}

struct outgoing *bound_take(struct session *session, const struct outgoing_target *target)
{
    struct outgoing *bound = session->bound;

    if (!bound || bound->origin->to.port != target->to.port ||
        bound->origin->settings != target->settings ||
        bound->origin->to.is_rooted != target->to.is_rooted ||
        bound->origin->is_secure != (target->tls != NULL) ||
        !span_equal(bound->origin->to.host, target->to.host))
        return NULL;
    if (target->is_once && !outgoing_is_quiet(bound)) {
        bound_drop(session);
        return NULL;
    }
    session->bound = NULL;
    return bound;
}
