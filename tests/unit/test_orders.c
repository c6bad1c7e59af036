/* What every process answers its master alike, and how it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/orders.h"
#include "daemon/parcel.h"

/* A process, played in this one: the master's packets wait in the channel before it serves. */
struct scene {
    struct orders orders;
    struct loop *loop;
    int master, channel;
    enum error_kind answer; // to a config
    struct config *config;  // the last one taken
    size_t configs, messages;
    int kept; // a descriptor
};

static enum error_kind on_config(void *owner, struct config *config, struct error *error)
{
    struct scene *scene = owner;

    scene->configs++;
    if (scene->answer)
        return error_set(error, scene->answer, "not this one");
    config_unref(&scene->config);
    config_ref(config);
    scene->config = config;
    return ERROR_NONE;
}

static bool on_message(void *owner, struct message *message)
{
    struct scene *scene = owner;

    scene->messages++;
    if (message->type == MESSAGE_DRAIN)
        orders_end(&scene->orders, EX_TEMPFAIL);
    if (message->type == MESSAGE_FOLLOW) {
        scene->kept = message->fd;
        message->fd = -1;
    }
    return message->type != MESSAGE_HANDED_OVER;
}

static const struct orders_events events = { on_config, on_message };

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    int ends[2];

    assert_int_equal(loop_new(&scene->loop, NULL), ERROR_NONE);
    assert_int_equal(message_channel(ends, NULL), ERROR_NONE);
    scene->master = ends[0];
    scene->channel = ends[1];
    scene->kept = -1;
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;

    config_unref(&scene->config);
    loop_free(&scene->loop);
    close(scene->master);
    close(scene->channel);
    free(scene);
    return 0;
}

static int serve(struct scene *scene)
{
    return orders_serve(&scene->orders, scene->loop, scene->channel, &events, scene);
}

static void tell(struct scene *scene, enum message_type type, uint64_t number)
{
    struct message message = message_of(type);

    if (type == MESSAGE_FOLLOW)
        message.fd = scene->channel;
    else
        message.number.number = number;
    assert_int_equal(message_send(scene->master, &message, NULL), ERROR_NONE);
}

static void configure(struct scene *scene, const char *text, uint64_t generation)
{
    struct config_source item = { SPAN("proxy.conf"), span_text(text) };
    struct config_sources sources = { .items = &item, .count = 1 };
    struct message message = message_of(MESSAGE_CONFIGURE);

    assert_int_equal(parcel_pack_sources(&message.fd, &message.parcel.size_bytes, &sources, NULL),
                     ERROR_NONE);
    message.parcel.generation = generation;
    assert_int_equal(message_send(scene->master, &message, NULL), ERROR_NONE);
    close(message.fd);
}

static struct message next(struct scene *scene, enum message_type want)
{
    struct message message;

    assert_int_equal(message_receive(scene->master, &message, NULL), MESSAGE_GOT);
    assert_string_equal(message_name(message.type), message_name(want));
    return message;
}

static void a_ping_is_answered(void **state)
{
    struct scene *scene = *state;

    tell(scene, MESSAGE_PING, 7);
    tell(scene, MESSAGE_PING, UINT64_MAX);
    tell(scene, MESSAGE_DRAIN, 0);
    tell(scene, MESSAGE_PING, 8); // nobody reads it any more
    assert_int_equal(serve(scene), EX_TEMPFAIL);
    next(scene, MESSAGE_READY);
    assert_int_equal(next(scene, MESSAGE_PONG).number.number, 7);
    assert_int_equal(next(scene, MESSAGE_PONG).number.number, UINT64_MAX);
    assert_int_equal(message_receive(scene->master, &(struct message){ 0 }, NULL), MESSAGE_WAIT);
    assert_int_equal(scene->messages, 1);
}

static void of_a_config_the_outcome_is_told(void **state)
{
    static const struct {
        const char *name, *text;
        enum error_kind answer; // of whoever holds it
        size_t configs;         // that reach them
        enum error_kind want;
        const char *want_text; // a part of it
    } rows[] = {
        { "good", "tunnel_idle_timeout = 5s\n", ERROR_NONE, 1, ERROR_NONE, "" },
        { "refused", "", ERROR_ADDRESS, 1, ERROR_ADDRESS, "not this one" },
        { "no config", "no such thing\n", ERROR_NONE, 0, ERROR_CONFIG, "proxy.conf" },
    };
    struct scene *scene = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct message told;

        scene->answer = rows[i].answer;
        scene->configs = 0;
        configure(scene, rows[i].text, 40 + i);
        tell(scene, MESSAGE_DRAIN, 0);
        serve(scene);
        next(scene, MESSAGE_READY);
        told = next(scene, MESSAGE_CONFIGURED);
        if (told.configured.generation != 40 + i || told.configured.kind != rows[i].want ||
            !strstr(told.configured.text, rows[i].want_text) || scene->configs != rows[i].configs)
            fail_msg("%s: %zu reached it, %u: %s", rows[i].name, scene->configs,
                     told.configured.kind, told.configured.text);
    }
    assert_int_equal(scene->config->tunnel_idle_timeout_ms, 5000);
}

/* Who keeps a descriptor has it; every other is closed, also that of a config. */
static void descriptors_do_not_stay(void **state)
{
    struct scene *scene = *state;
    int before = dup(scene->master), after;

    tell(scene, MESSAGE_FOLLOW, 0);
    configure(scene, "", 1);
    tell(scene, MESSAGE_HANDED_OVER, 0); // it is told of in the log
    tell(scene, MESSAGE_DRAIN, 0);
    serve(scene);
    assert_true(scene->kept >= 0);
    assert_int_equal(close(scene->kept), 0);
    after = dup(scene->master);
    assert_int_equal(after, before + 1);
    close(after);
    close(before);
    assert_int_equal(scene->messages, 3);
}

static void it_ends_with_its_master(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(send(scene->master, "nonsense", 8, 0), 8);
    assert_int_equal(serve(scene), EX_IOERR);
    shutdown(scene->master, SHUT_WR);
    assert_int_equal(serve(scene), EX_IOERR);
    shutdown(scene->master, SHUT_RD);
    assert_int_equal(serve(scene), EX_IOERR); // READY reaches nobody
    assert_int_equal(scene->messages, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_ping_is_answered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(of_a_config_the_outcome_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(descriptors_do_not_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_ends_with_its_master, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
