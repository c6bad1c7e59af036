#include "proxy/body.h"

static size_t room_for(const struct flow *flow, uint64_t limit)
{
    return limit < flow->pipe.size_bytes ? (size_t)limit : flow->pipe.size_bytes;
}

void flow_done(struct proxy *proxy, struct flow *flow)
{
    if (flow->has_pipe)
        pipes_give_back(&proxy->pipes, &flow->pipe);
    flow->has_pipe = false;
    flow->in_pipe = 0;
}

/* Empties the pipe into the sink. FLOW_DRY: it is empty. */
static enum flow_outcome drain(struct flow *flow, struct stream *to, uint64_t *put)
{
    while (flow->in_pipe) {
        size_t moved = 0;
        switch (stream_splice_out(to, &flow->pipe, &moved)) {
        case STREAM_OK:
            flow->in_pipe = flow->pipe.held_bytes;
            *put += moved;
            break;
        case STREAM_WAIT:
            return FLOW_BLOCKED;
        case STREAM_END:
        case STREAM_LOST:
            return FLOW_TO_LOST;
        }
    }
    return FLOW_DRY;
}

enum flow_outcome flow_splice(struct proxy *proxy, struct flow *flow, struct stream *from,
                              struct stream *to, uint64_t limit, uint64_t *taken, uint64_t *put)
{
    enum flow_outcome outcome;

    *taken = *put = 0;
    for (;;) {
        size_t moved = 0;

        outcome = drain(flow, to, put);
        if (outcome == FLOW_BLOCKED)
            return outcome;
        if (outcome == FLOW_TO_LOST)
            break;
        if (flow->has_ended) {
            outcome = FLOW_ENDED;
            break;
        }
        if (*taken == limit) {
            outcome = FLOW_LIMIT;
            break;
        }
        if (*taken >= FLOW_TURN_BYTES) {
            outcome = FLOW_TURN_OVER;
            break;
        }
        if (!flow->has_pipe) {
            if (!pipes_borrow(&proxy->pipes, &flow->pipe))
                return FLOW_NO_PIPE;
            flow->has_pipe = true;
        }
        switch (stream_splice_in(from, &flow->pipe, room_for(flow, limit - *taken), &moved)) {
        case STREAM_OK:
            flow->in_pipe = flow->pipe.held_bytes;
            *taken += moved;
            metrics_add(proxy->metrics, METRIC_BYTES_SPLICED, moved);
            continue;
        case STREAM_WAIT:
            outcome = FLOW_DRY;
            break;
        case STREAM_END:
            flow->has_ended = true;
            outcome = FLOW_ENDED;
            break;
        case STREAM_LOST:
            outcome = FLOW_FROM_LOST;
            break;
        }
        break;
    }
    flow_done(proxy, flow);
    return outcome;
}
