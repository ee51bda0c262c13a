/** Keys that every stage has; `auto` takes the value of the training file. */
const COMMON = {
  train_batch_size: "auto",
  train_micro_batch_size_per_gpu: "auto",
  gradient_accumulation_steps: "auto",
  gradient_clipping: "auto",
  zero_allow_untested_optimizer: true,
  bf16: { enabled: "auto" },
  fp16: { enabled: "auto", loss_scale: 0, initial_scale_power: 16 },
} as const;

const STAGES = {
  zero2: {
    stage: 2,
    allgather_partitions: true,
    allgather_bucket_size: 5e8,
    reduce_scatter: true,
    reduce_bucket_size: 5e8,
    overlap_comm: true,
    contiguous_gradients: true,
    round_robin_gradients: true,
  },
  zero3: {
    stage: 3,
    overlap_comm: true,
    contiguous_gradients: true,
    sub_group_size: 1e9,
    reduce_bucket_size: "auto",
    stage3_prefetch_bucket_size: "auto",
    stage3_param_persistence_threshold: "auto",
    stage3_max_live_parameters: 1e9,
    stage3_max_reuse_distance: 1e9,
    // The merge, and whoever serves the result, need whole weights.
    stage3_gather_16bit_weights_on_model_save: true,
  },
} as const;

/** The configuration of DeepSpeed for a ZeRO stage, as JSON. */
export function deepspeedJson(stage: keyof typeof STAGES): string {
  return JSON.stringify({ ...COMMON, zero_optimization: STAGES[stage] });
}
