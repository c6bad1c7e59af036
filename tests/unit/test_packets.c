/* A line of packets: whole and in order, whatever the other end takes, and nothing after its end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/packets.h"

enum { LONGEST = 2000 };

struct end {
    struct loop *loop;
    struct packets line;
    size_t count, wanted; // packets; the loop stops at the last
    bool echoes, has_ended;
};

static void on_packet(void *owner, struct span packet)
{
    struct end *end = owner;
    uint32_t number;

    assert_in_range(packet.size, sizeof number, LONGEST);
    memcpy(&number, packet.at, sizeof number);
    assert_int_equal(number, end->count++);
    if (end->echoes)
        assert_true(packets_send(&end->line, packet));
    if (end->count == end->wanted)
        loop_stop(end->loop);
}

static void on_end(void *owner)
{
    struct end *end = owner;

    assert_false(packets_is_open(&end->line));
    assert_false(end->has_ended);
    end->has_ended = true;
    loop_stop(end->loop);
}

static const struct packets_events events = { on_packet, on_end };

static void on_late(void *owner)
{
    (void)owner;
    fail_msg("nothing happens");
}

struct scene {
    struct loop *loop;
    struct loop_timer late;
    struct end here, there;
};

static void scene_open(struct scene *scene)
{
    int ends[2];

    memset(scene, 0, sizeof *scene);
    assert_int_equal(loop_new(&scene->loop, NULL), ERROR_NONE);
    loop_timer_init(&scene->late, scene->loop, on_late, NULL);
    loop_timer_set(&scene->late, 20000);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
                     0);
    scene->here.loop = scene->there.loop = scene->loop;
    packets_open(&scene->here.line, scene->loop, ends[0], LONGEST, false, &events, &scene->here);
    packets_open(&scene->there.line, scene->loop, ends[1], LONGEST, true, &events, &scene->there);
}

static void scene_close(struct scene *scene)
{
    packets_close(&scene->here.line);
    packets_close(&scene->there.line);
    packets_close(&scene->there.line); // harmless
    loop_timer_stop(&scene->late);
    loop_free(&scene->loop);
}

static bool send_number(struct end *end, uint32_t number, size_t size)
{
    char packet[LONGEST + 1] = { 0 };

    memcpy(packet, &number, sizeof number);
    return packets_send(&end->line, span_of(packet, size));
}

/* Far more than the kernel keeps: what one end does not take waits at the other. */
static void all_of_many_come_back(void **state)
{
    struct scene scene;
    uint32_t sent = 0;

    (void)state;
    scene_open(&scene);
    scene.there.echoes = true;
    while (send_number(&scene.here, sent, sent % 2 ? LONGEST : sizeof sent))
        sent++;
    assert_true(sent > PACKETS_KEPT_BYTES / (LONGEST + 4));
    scene.here.wanted = sent;
    loop_run(scene.loop);
    assert_int_equal(scene.here.count, sent);
    assert_int_equal(scene.there.count, sent);
    assert_true(send_number(&scene.here, sent, LONGEST)); // there is room again
    scene.here.wanted++;
    loop_run(scene.loop);
    scene_close(&scene);
}

static void an_end_is_told_once(void **state)
{
    struct scene scene;

    (void)state;
    scene_open(&scene);
    packets_close(&scene.there.line);
    loop_run(scene.loop);
    assert_true(scene.here.has_ended);
    assert_false(send_number(&scene.here, 0, 4));
    scene_close(&scene);
}

static void what_is_longer_ends_the_line(void **state)
{
    struct scene scene;

    (void)state;
    scene_open(&scene);
    scene.there.wanted = 1;
    assert_true(send_number(&scene.here, 0, LONGEST));
    loop_run(scene.loop);
    assert_int_equal(scene.there.count, 1);
    assert_true(send_number(&scene.here, 1, LONGEST + 1));
    loop_run(scene.loop);
    assert_true(scene.there.has_ended);
    assert_int_equal(scene.there.count, 1);
    scene_close(&scene);
}

/* The other end goes while packets wait for it. */
static void what_waits_goes_with_its_line(void **state)
{
    struct scene scene;
    uint32_t sent = 0;

    (void)state;
    scene_open(&scene);
    while (send_number(&scene.here, sent, LONGEST))
        sent++;
    packets_close(&scene.there.line);
    loop_run(scene.loop);
    assert_true(scene.here.has_ended);
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_many_come_back),
        cmocka_unit_test(an_end_is_told_once),
        cmocka_unit_test(what_is_longer_ends_the_line),
        cmocka_unit_test(what_waits_goes_with_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
