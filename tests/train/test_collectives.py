"""What devices exchange is read from the text of a program, loops and both ends of a transfer counted once."""

from generalist.train.collectives import Collective, collectives

PROGRAM = """HloModule jit_update, is_scheduled=true

%add (a: f32[], b: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%a, %b)
}

%body (p: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %g = f32[8,4]{1,0} all-gather(%x), channel_id=1, dimensions={0}, metadata={op_name="jit(update)/block/dot_general"}
  ROOT %t = (s32[], f32[8,4]) tuple(%i, %g)
}

%condition (p: (s32[], f32[8,4])) -> pred[] {
  ROOT %c = pred[] compare(%i, %n), direction=LT
}

ENTRY %main (x: f32[1,4]) -> f32[8,4] {
  %w = (s32[], f32[8,4]) while(%t), condition=%condition, body=%body, backend_config={"known_trip_count":{"n":"24"}}
  %s = (bf16[16,4]{1,0}, bf16[128,4]{1,0}, u32[]) all-gather-start(%y), channel_id=2, dimensions={0}
  %d = bf16[128,4]{1,0} all-gather-done(%s)
  %z = ((bf16[64]{0}, f32[8]{0}), (bf16[8]{0}, f32[1]{0})) reduce-scatter-start(%a, %b), channel_id=4, to_apply=%add
  %q = (f32[3]{0}, bf16[5]{0}) all-reduce-start(%a, %b), channel_id=3, to_apply=%add
  ROOT %r = f32[8,4] get-tuple-element(%w), index=1
}
"""


def test_every_collective_is_found_as_often_as_it_runs():
    assert collectives(PROGRAM) == {
        Collective("all-gather", 8 * 4 * 4, 8 * 4 * 4, "jit(update)/block/dot_general"): 24,
        Collective("all-gather", 128 * 4 * 2, 128 * 4 * 2, ""): 1,
        Collective("reduce-scatter", 64 * 2 + 8 * 4, 64 * 2, ""): 1,
        Collective("all-reduce", 3 * 4 + 5 * 2, 12, ""): 1,
    }
