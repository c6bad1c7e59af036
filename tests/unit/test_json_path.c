/* Paths of jsonprune: what they take out of a text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "prune.h"

static const struct prune_case cases[] = {
    { "a member", "$.a", "{\"a\":1,\"b\":2}", "{\"b\":2}" },
    { "the last member", "$.b", "{\"a\":1, \"b\":2}", "{\"a\":1}" },
    { "one in the middle", "$.b", "{ \"a\": 1, \"b\": 2, \"c\": 3 }", "{ \"a\": 1, \"c\": 3 }" },
    { "the only member", "$.a", "{ \"a\": [1, 2] }", "{  }" },
    { "all members", "$.*", "{\"a\":1,\"b\":2}", "{}" },
    { "not below", "$.a", "{\"x\":{\"a\":1}}", NULL },
    { "below", "$.x.a", "{\"x\":{\"a\":1,\"b\":[]}}", "{\"x\":{\"b\":[]}}" },
    { "anywhere", "$..a", "{\"a\":1,\"x\":[{\"a\":{\"a\":2}},{\"b\":3}]}",
      "{\"x\":[{},{\"b\":3}]}" },
    { "names in brackets", "$..[one, \"two three\"]",
      "{\n  \"one\": 1,\n  \"two\": {\n    \"two three\": 23,\n    \"four five\": 45\n  }\n}",
      "{\n  \"two\": {\n    \"four five\": 45\n  }\n}" },
    { "children that have a key", "$.a[?(has ad_origin)]",
      "{\"a\":[{\"ad_origin\":\"x\",\"b\":42},{\"b\":1234}]}", "{\"a\":[{\"b\":1234}]}" },
    { "a key with a value", "$.*.*[?(key-eq 'Some key' 'Some value')]",
      "{\"a\":{\"b\":{\"c\":{\"Some key\":\"Some value\"},\"d\":{\"Some key\":\"Other value\"}}},"
      "\"e\":{\"f\":[{\"Some key\":\"Some value\"},{\"Some key\":\"Other value\"}]}}",
      "{\"a\":{\"b\":{\"d\":{\"Some key\":\"Other value\"}}},\"e\":{\"f\":[{\"Some key\":\"Other "
      "value\"}]}}" },
    { "a key with a part", "$[?(key-substr kind ad)]",
      "[{\"kind\":\"an ad\"},{\"kind\":\"news\"},{\"kind\":5}]",
      "[{\"kind\":\"news\"},{\"kind\":5}]" },
    { "a number as a value", "$[?(key-eq n 5)]", "[{\"n\":5},{\"n\":55},{\"n\":\"5\"}]",
      "[{\"n\":55}]" },
    { "a path as a key", "$.elems[?(has \"$.a.b.c\")]",
      "{\"elems\":[{\"a\":{\"b\":{\"c\":123}},\"k\":\"v\"},{\"d\":{\"e\":{\"f\":123}}}]}",
      "{\"elems\":[{\"d\":{\"e\":{\"f\":123}}}]}" },
    { "a path with a value", "$.elems[?(key-eq \"$.a.b.c\" \"abc\")]",
      "{\"elems\":[{\"a\":{\"b\":{\"c\":123}}},{\"a\":{\"b\":{\"c\":\"abc\"}}}]}",
      "{\"elems\":[{\"a\":{\"b\":{\"c\":123}}}]}" },
    { "a deep path as a key", "$[?(has \"$..ad\")]", "[{\"x\":[[{\"ad\":1}]]},[],{\"b\":2}]",
      "[[],{\"b\":2}]" },
    { "a path in a path, as deep as there are quotes", "$[?(has \"$[?(has '$[?(has a)]')]\")]",
      "[[[{\"a\":1}]],[[{\"b\":1}]]]", "[[[{\"b\":1}]]]" },
    { "an element", "$[1]", "[1,2,3]", "[1,3]" },
    { "the first", "$[0]", "[ 1, 2, 3 ]", "[ 2, 3 ]" },
    { "from the end", "$[-1]", "[1,2,3]", "[1,2]" },
    { "past the end", "$[3]", "[1,2,3]", NULL },
    { "a slice", "$[1:3]", "[1,2,3,4]", "[1,4]" },
    { "a slice to the end", "$[1:]", "[1,2,3,4]", "[1]" },
    { "a slice with steps", "$[::2]", "[1,2,3,4]", "[2,4]" },
    { "a slice from the end", "$[-2:]", "[1,2,3,4]", "[1,2]" },
    { "many in brackets", "$[0, 2:4]", "[1,2,3,4,5]", "[2,5]" },
    { "no place in an object", "$[0]", "{\"0\":1}", NULL },
    { "a name that is a number", "$['0']", "{\"0\":1}", "{}" },
    { "an escape in the key", "$.ab", "{\"\\u0061b\":1,\"c\":2}", "{\"c\":2}" },
    { "a pair of escapes", "$['\xf0\x9f\x98\x80']", "{\"\\ud83d\\ude00\":1}", "{}" },
    { "an escape in the value", "$[?(key-eq a 'x/y')]", "[{\"a\":\"x\\/y\"}]", "[]" },
    { "every byte else stays", "$.a",
      "\xef\xbb\xbf {\"a\" : 1 ,\t\"b\":1.50e+02,\"b\":\"\\u00e4\"}\n",
      "\xef\xbb\xbf {\"b\":1.50e+02,\"b\":\"\\u00e4\"}\n" },
    { "lines of JSON", "$.a", "{\"a\":1,\"b\":2}\n{\"a\":3}\n", "{\"b\":2}\n{}\n" },
    { "JSON in a call", "$.a", "/**/cb_1({\"a\":1,\"b\":2});", "/**/cb_1({\"b\":2});" },
    { "a call that is called as a word begins", "$.a", "func({\"a\":1});\n", "func({});\n" },
    { "names with dots", "a.b", "{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":{\"c\":2}}" },
    { "two of them", "a.b a.c", "{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":{}}" },
    { "every element", "list.[].ad", "{\"list\":[{\"ad\":1},{\"ad\":2,\"x\":3}]}",
      "{\"list\":[{},{\"x\":3}]}" },
    { "every key", "{}.ad", "{\"a\":{\"ad\":1},\"b\":[{\"ad\":1}]}",
      "{\"a\":{},\"b\":[{\"ad\":1}]}" },
    { "whatever", "*.ad", "{\"a\":{\"ad\":1},\"b\":[5]}", "{\"a\":{},\"b\":[5]}" },
    { "elements that have", "list.[-].ad", "{\"list\":[{\"ad\":1},{\"x\":3}]}",
      "{\"list\":[{\"x\":3}]}" },
    { "keys that have, deeper", "{-}.x.ad", "{\"a\":{\"x\":{\"ad\":1}},\"b\":{\"x\":1}}",
      "{\"b\":{\"x\":1}}" },
    // no JSON: nothing is done
    { "no JSON", "$.a", "<html>", NULL },
    { "an open end", "$.a", "{\"a\":1", NULL },
    { "something behind", "$.a", "{\"a\":1}}", NULL },
    { "a comma too many", "$.a", "{\"a\":1,}", NULL },
    { "no quotes", "$.a", "{a:1}", NULL },
    { "a leading zero point", "$.a", "{\"a\":.5}", NULL },
    { "a call not closed", "$.a", "cb({\"a\":1}", NULL },
    { "control bytes", "$.a", "{\"a\":\"\n\"}", NULL },
    { "nothing at all", "$.a", "", NULL },
};

static void paths_take_out_what_they_name(void **state)
{
    (void)state;
    prune_cases_hold(cases, sizeof cases / sizeof *cases, json_path_is_good, json_path_prune);
}

static void bad_paths_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "$",
        "$.",
        "$..",
        "$a",
        "$.a[",
        "$.a[]",
        "$[?(has)]",
        "$[?(has a]",
        "$[?(is a)]",
        "$[?(key-eq a)]",
        "$['a]",
        "$[0:2:-1]",
        "a..b",
        ".a",
        "a.[-].b.[-].c",
        "$[999999999]",
        "$[?(has \"$[?(has '$[?(has $[?(has a)])]')]\")]",
    };
    char text[1024];
    size_t size = 0;

    (void)state;
    prune_paths_are_refused(bad, sizeof bad / sizeof *bad, json_path_is_good);
    text[size++] = '$';
    for (int i = 0; i < JSON_PATH_STEPS; i++, size += 2)
        memcpy(text + size, ".a", 2);
    assert_true(json_path_is_good(span_of(text, size)));
    memcpy(text + size, ".a", 2);
    assert_false(json_path_is_good(span_of(text, size + 2)));
    // Selectors, of all steps together; those in brackets count twice.
    for (size_t more = 0; more < 2; more++) {
        memcpy(text, "$['a'", 5);
        for (size = 5; size < 5 + 4 * (63 + more); size += 4)
            memcpy(text + size, ",'a'", 4);
        text[size] = ']';
        assert_int_equal(json_path_is_good(span_of(text, size + 1)), !more);
    }
}

static void depth_and_numbers_have_limits(void **state)
{
    size_t depth = 512, values = 500000;
    char *text = malloc(2 * values + 64);
    struct buffer out = { .limit_bytes = 1 << 21 };

    (void)state;
    assert_non_null(text);
    for (size_t more = 0; more < 2; more++) {
        size_t size = depth + more;

        memset(text, '[', size);
        memset(text + size, ']', size);
        assert_int_equal(json_path_prune(SPAN("$[0]"), span_of(text, 2 * size), &out),
                         more ? PRUNE_TOO_MUCH : PRUNE_DONE);
        buffer_release(&out);
        text[0] = '[';
        for (size = 0; size + 1 < values + more; size++)
            memcpy(text + 1 + 2 * size, "1,", 2);
        memcpy(text + 2 * size, "]", 1); // in place of the last comma
        assert_int_equal(json_path_prune(SPAN("$[0]"), span_of(text, 2 * size + 1), &out),
                         more ? PRUNE_TOO_MUCH : PRUNE_DONE);
        buffer_release(&out);
    }
    // Work: each of many is looked for in all that is below of each of many.
    memset(text, '[', 500);
    memset(text + 500, '1', 1);
    for (size_t i = 0; i < 40000; i++)
        memcpy(text + 501 + 2 * i, ",1", 2);
    memset(text + 80501, ']', 500);
    assert_int_equal(json_path_prune(SPAN("$..[?(has \"$..a\")]"), span_of(text, 81001), &out),
                     PRUNE_TOO_MUCH);
    assert_int_equal(out.size, 0);
    out.limit_bytes = 4;
    assert_int_equal(json_path_prune(SPAN("$.a"), SPAN("{\"a\":1,\"b\":2}"), &out), PRUNE_TOO_MUCH);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_take_out_what_they_name),
        cmocka_unit_test(bad_paths_are_refused),
        cmocka_unit_test(depth_and_numbers_have_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
