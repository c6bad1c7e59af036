#include "daemon/listeners.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "io/listener.h"

static struct listener *listener_new(const char *name, bool is_shared, bool is_passed)
{
    struct listener *listener = calloc(1, sizeof *listener);

    if (!listener)
        abort();
    listener->references = 1;
    listener->is_shared = is_shared;
    listener->is_passed = is_passed;
    snprintf(listener->name, sizeof listener->name, "%s", name);
    for (size_t i = 0; i < LISTENER_PLACES; i++)
        listener->fds[i] = -1;
    return listener;
}

static void listener_unref(struct listener *listener)
{
    assert(listener->references > 0);
    if (--listener->references > 0)
        return;
    for (size_t i = 0; i < LISTENER_PLACES; i++)
        if (listener->fds[i] >= 0)
            close(listener->fds[i]);
    free(listener);
}

void listeners_done(struct listeners *set)
{
    for (size_t i = 0; i < set->count; i++)
        listener_unref(set->items[i]);
    set->count = 0;
}

struct listener *listeners_find(const struct listeners *set, const char *name)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->items[i]->name, name) == 0)
            return set->items[i];
    return NULL;
}

void listeners_trim(struct listeners *set, size_t places)
{
    for (size_t i = 0; i < set->count; i++) {
        struct listener *listener = set->items[i];

        for (size_t p = places; p < listener->places && !listener->is_shared; p++) {
            if (listener->fds[p] >= 0)
                close(listener->fds[p]);
            listener->fds[p] = -1;
        }
        if (!listener->is_shared && listener->places > places)
            listener->places = places;
    }
}

int listener_fd(const struct listener *listener, size_t place)
{
    if (listener->is_shared)
        return listener->fds[0];
    return place < LISTENER_PLACES ? listener->fds[place] : -1;
}

/* Opens what the listener lacks for that many places. */
static enum error_kind fill(struct listener *listener, size_t places, struct error *error)
{
    struct address address;

    if (listener->is_shared)
        places = 1;
    assert(places >= 1 && places <= LISTENER_PLACES);
    if (!address_parse_with_port(&address, span_text(listener->name)))
        return error_set(error, ERROR_CONFIG, "listen: %s is no address with a port",
                         listener->name);
    for (size_t i = 0; i < places; i++) {
        enum error_kind kind;

        if (listener->fds[i] >= 0)
            continue;
        kind = listener_open(&listener->fds[i], &address, !listener->is_shared, error);
        if (kind != ERROR_NONE)
            return kind;
    }
    if (listener->places < places)
        listener->places = places;
    return ERROR_NONE;
}

static void add(struct listeners *set, struct listener *listener)
{
    assert(set->count < LISTENERS_MOST);
    set->items[set->count++] = listener;
}

static bool keep_passed(struct listeners *set, const struct listeners *old)
{
    for (size_t i = 0; i < old->count; i++) {
        if (!old->items[i]->is_passed)
            continue;
        old->items[i]->references++;
        add(set, old->items[i]);
    }
    return set->count > 0;
}

static enum error_kind add_wanted(struct listeners *set, const struct listeners *old,
                                  struct span text, const struct config *config, size_t places,
                                  struct error *error)
{
    char name[MESSAGE_NAME_BYTES];
    struct listener *listener;

    if (text.size >= sizeof name)
        return error_set(error, ERROR_CONFIG, "listen: %.*s is no address with a port",
                         SPAN_PRINT(text));
    if (set->count == LISTENERS_MOST)
        return error_set(error, ERROR_LIMIT, "more than %d addresses to listen on", LISTENERS_MOST);
    snprintf(name, sizeof name, "%.*s", SPAN_PRINT(text));
    if (listeners_find(set, name))
        return ERROR_NONE;
    listener = listeners_find(old, name);
    if (listener)
        listener->references++;
    else
        listener = listener_new(name, !config->reuse_port, false);
    if (listener->is_shared == config->reuse_port)
        log_notice("%s: reuse_port takes effect at the next start", name);
    add(set, listener);
    return fill(listener, places, error);
}

enum error_kind listeners_make(struct listeners *out, const struct listeners *old,
                               const struct config *config, size_t places, struct error *error)
{
    struct listeners set = { .count = 0 };

    if (places > LISTENER_PLACES)
        return error_set(error, ERROR_LIMIT, "more than %d workers", LISTENER_PLACES);
    if (keep_passed(&set, old)) {
        *out = set;
        return ERROR_NONE;
    }
    for (size_t i = 0; i < config->listen.count; i++) {
        enum error_kind kind =
            add_wanted(&set, old, config->listen.items[i], config, places, error);
        if (kind != ERROR_NONE) {
            listeners_done(&set);
            return kind;
        }
    }
    *out = set;
    return ERROR_NONE;
}

enum error_kind listeners_adopt(struct listeners *set, const struct message_listener *about, int fd,
                                struct error *error)
{
    struct listener *listener = listeners_find(set, about->name);
    size_t place = about->is_shared ? 0 : about->place;

    if (place >= LISTENER_PLACES || (!listener && set->count == LISTENERS_MOST))
        return error_set(error, ERROR_LIMIT, "more than %d sockets handed over", LISTENERS_MOST);
    if (listener && (listener->fds[place] >= 0 || listener->is_shared != (about->is_shared != 0)))
        return error_set(error, ERROR_SYNTAX, "%s was handed over twice", about->name);
    if (!listener) {
        listener = listener_new(about->name, about->is_shared, about->is_passed);
        add(set, listener);
    }
    listener->fds[place] = fd;
    if (listener->places <= place)
        listener->places = place + 1;
    return ERROR_NONE;
}

void listener_name_of(int fd, char name[MESSAGE_NAME_BYTES])
{
    struct address address;
    char text[ADDRESS_TEXT_BYTES];

    if (listener_address(fd, &address, NULL) != ERROR_NONE)
        snprintf(name, MESSAGE_NAME_BYTES, "descriptor %d", fd);
    else
        snprintf(name, MESSAGE_NAME_BYTES, "%s", address_text_with_port(&address, text));
}
