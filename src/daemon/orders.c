#include "daemon/orders.h"

#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/parcel.h"

enum { AT_ONCE = 16 }; // before others get their turn

void orders_end(struct orders *orders, int exit_code)
{
    orders->exit_code = exit_code;
    ev_io_stop(orders->loop->ev, &orders->incoming);
    loop_stop(orders->loop);
}

static void end_at_once(struct orders *orders, const char *why)
{
    log_error("ends at once: %s", why);
    orders_end(orders, EX_IOERR);
}

static void configure(const struct orders *orders, const struct message *message)
{
    struct message reply = message_of(MESSAGE_CONFIGURED);
    struct config *config = NULL;
    struct error error = { .kind = ERROR_NONE };
    enum error_kind kind =
        parcel_read_config(&config, message->fd, message->parcel.size_bytes, &error);

    if (kind == ERROR_NONE)
        kind = orders->events->on_config(orders->owner, config, &error);
    config_unref(&config);
    reply.configured.generation = message->parcel.generation;
    reply.configured.kind = (uint32_t)kind;
    if (kind != ERROR_NONE)
        message_set_text(reply.configured.text, sizeof reply.configured.text, error.text);
    if (message_send(orders->channel, &reply, &error) != ERROR_NONE)
        log_error("%s", error.text);
}

static void obey(struct orders *orders, struct message *message)
{
    struct message pong = message_of(MESSAGE_PONG);

    switch (message->type) {
    case MESSAGE_PING:
        pong.number = message->number;
        message_send(orders->channel, &pong, NULL); // a lost one is like a late one
        break;
    case MESSAGE_CONFIGURE:
        configure(orders, message);
        break;
    default:
        if (!orders->events->on_message(orders->owner, message))
            log_error("the master sent a %s message", message_name(message->type));
        break;
    }
    if (message->fd >= 0)
        close(message->fd);
}

static void on_incoming(struct ev_loop *ev, ev_io *watcher, int revents)
{
    struct orders *orders = watcher->data;

    (void)ev;
    (void)revents;
    for (int i = 0; i < AT_ONCE && ev_is_active(&orders->incoming); i++) {
        struct message message;
        struct error error;

        switch (message_receive(orders->channel, &message, &error)) {
        case MESSAGE_WAIT:
            return;
        case MESSAGE_END:
            end_at_once(orders, "the master is gone");
            return;
        case MESSAGE_BAD:
            end_at_once(orders, error.text);
            return;
        case MESSAGE_GOT:
            obey(orders, &message);
            break;
        }
    }
}

int orders_serve(struct orders *orders, struct loop *loop, int channel,
                 const struct orders_events *events, void *owner)
{
    const struct message ready = message_of(MESSAGE_READY);
    struct error error;

    *orders = (struct orders){
        .loop = loop, .channel = channel, .events = events, .owner = owner, .exit_code = EX_OK
    };
    ev_io_init(&orders->incoming, on_incoming, channel, EV_READ);
    orders->incoming.data = orders;
    if (message_send(channel, &ready, &error) != ERROR_NONE) {
        log_error("ends at once: %s", error.text);
        return EX_IOERR;
    }
    ev_io_start(loop->ev, &orders->incoming);
    loop_run(loop);
    ev_io_stop(loop->ev, &orders->incoming);
    return orders->exit_code;
}
