import * as pulumi from "@pulumi/pulumi";

/** The plain value of something that may hold outputs. */
export function settled<T>(value: pulumi.Input<T>): Promise<unknown> {
  return new Promise((resolve) => {
    pulumi.output(value).apply((plain) => {
      resolve(plain);
    });
  });
}
