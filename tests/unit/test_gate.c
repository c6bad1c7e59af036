/* The gate: never more than its places, in order of arrival, whoever leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "io/gate.h"

enum { GUESTS = 26 };

static struct loop *loop;
static struct gate gate;
static struct guest {
    struct gate_ticket ticket;
    char name;
} guests[GUESTS];
static char trace[400];
static size_t inside, most_inside;

static void note(char sign, char name)
{
    size_t used = strlen(trace);

    snprintf(trace + used, sizeof trace - used, "%c%c ", sign, name);
}

static void on_granted(void *owner)
{
    struct guest *guest = owner;

    note('+', guest->name);
    if (++inside > most_inside)
        most_inside = inside;
}

static void enter(char name)
{
    struct guest *guest = &guests[name - 'a'];

    if (gate_enter(&gate, &guest->ticket)) {
        note('!', name);
        if (++inside > most_inside)
            most_inside = inside;
    }
}

static void leave(char name)
{
    struct guest *guest = &guests[name - 'a'];

    if (guest->ticket.gate && guest->ticket.is_holding)
        inside--;
    gate_leave(&guest->ticket);
}

/* Each row is a play: a letter enters, a capital leaves, '.' lets the loop run. */
static const struct {
    const char *name, *play, *want;
    size_t places;
} rows[] = {
    { "free places at once", "ab.", "!a !b ", 2 },
    { "the third waits", "abc.", "!a !b ", 2 },
    { "first come, first served", "abcde.A.B.C.", "!a !b +c +d +e ", 2 },
    { "from the loop, not from leave", "abA", "!a ", 1 },
    { "who gives up in line leaves the order alone", "abcdeC.A.B.D.", "!a +b +d +e ", 1 },
    { "the first in line gives up", "abcB.A.", "!a +c ", 1 },
    { "the last in line gives up, another comes", "abcCd.A.B.", "!a +b +d ", 1 },
    { "nobody overtakes a waiter who is about to be let in", "abAc.B.", "!a +b +c ", 1 },
    { "the one about to be let in gives up", "abAB.c.", "!a !c ", 1 },
    { "the one about to be let in gives up, the next gets it", "abcAB.", "!a +c ", 1 },
    { "leaving twice is harmless", "aAAb.", "!a !b ", 1 },
    { "all leave at once", "abcdefABC.", "!a !b !c +d +e +f ", 3 },
    { "back in line at the end", "abcAa.B.", "!a +b +c ", 1 },
};

static void plays_come_out_as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        memset(trace, 0, sizeof trace);
        inside = most_inside = 0;
        gate_init(&gate, loop, rows[i].places);
        for (size_t n = 0; n < GUESTS; n++)
            guests[n] =
                (struct guest){ .name = (char)('a' + n),
                                .ticket = { .on_granted = on_granted, .owner = &guests[n] } };
        for (const char *c = rows[i].play; *c; c++) {
            if (*c == '.')
                loop_run(loop);
            else if (*c >= 'a')
                enter(*c);
            else
                leave((char)(*c - 'A' + 'a'));
        }
        if (strcmp(trace, rows[i].want) != 0 || most_inside > rows[i].places)
            fail_msg("%s: %s, %zu inside", rows[i].name, trace, most_inside);
        for (char n = 'a'; n <= 'z'; n++)
            leave(n);
        gate_done(&gate);
    }
}

/* 20 requests, 2 at a time, each leaves when the next round has come. */
static struct loop_timer rounds;
static size_t next_to_leave;

static void one_leaves(void *owner)
{
    (void)owner;
    leave((char)('a' + next_to_leave++));
    if (next_to_leave < 20)
        loop_timer_set(&rounds, 0);
}

static void twenty_through_two_places(void **state)
{
    (void)state;
    memset(trace, 0, sizeof trace);
    inside = most_inside = next_to_leave = 0;
    gate_init(&gate, loop, 2);
    for (size_t n = 0; n < GUESTS; n++)
        guests[n] = (struct guest){ .name = (char)('a' + n),
                                    .ticket = { .on_granted = on_granted, .owner = &guests[n] } };
    for (char n = 'a'; n < 'a' + 20; n++)
        enter(n);
    loop_timer_init(&rounds, loop, one_leaves, NULL);
    loop_timer_set(&rounds, 0);
    loop_run(loop);
    assert_string_equal(trace, "!a !b +c +d +e +f +g +h +i +j +k +l +m +n +o +p +q +r +s +t ");
    assert_int_equal(most_inside, 2);
    gate_done(&gate);
}

static void fewer_places_wait_for_leavers(void **state)
{
    (void)state;
    memset(trace, 0, sizeof trace);
    gate_init(&gate, loop, 2);
    for (size_t n = 0; n < GUESTS; n++)
        guests[n].ticket = (struct gate_ticket){ .on_granted = on_granted, .owner = &guests[n] };
    enter('a'), enter('b'), enter('c'), enter('d');
    gate_set_places(&gate, 1);
    leave('a');
    loop_run(loop);
    assert_string_equal(trace, "!a !b ");
    leave('b');
    loop_run(loop);
    assert_string_equal(trace, "!a !b +c ");
    gate_set_places(&gate, 5);
    loop_run(loop);
    assert_string_equal(trace, "!a !b +c +d ");
    leave('c'), leave('d');
    gate_done(&gate);
}

static struct gate *gone;

static void free_the_gate(void *owner)
{
    struct gate_ticket *ticket = owner;

    gate_leave(ticket);
    gate_done(gone);
    free(gone);
    gone = NULL;
}

static void the_gate_may_end_in_its_own_callback(void **state)
{
    struct gate_ticket holder = { 0 }, waiter = { .on_granted = free_the_gate, .owner = &waiter };

    (void)state;
    gone = malloc(sizeof *gone);
    gate_init(gone, loop, 1);
    assert_true(gate_enter(gone, &holder));
    assert_false(gate_enter(gone, &waiter));
    gate_leave(&holder);
    loop_run(loop);
    assert_null(gone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plays_come_out_as_written),
        cmocka_unit_test(twenty_through_two_places),
        cmocka_unit_test(fewer_places_wait_for_leavers),
        cmocka_unit_test(the_gate_may_end_in_its_own_callback),
    };
    int failures;

    loop_new(&loop, NULL);
    failures = cmocka_run_group_tests_name("gate", tests, NULL, NULL);
    loop_free(&loop);
    return failures;
}
