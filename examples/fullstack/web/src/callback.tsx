import { LogtoError, OidcError, useHandleSignInCallback } from '@logto/react';
import { useEffect, useState } from 'react';
import { Navigate } from 'react-router';
import { Heading } from './heading';
import { SignInButton } from './sign-in-button';

// Callback is where the sign-in sends the browser back to.
export function Callback() {
  const { isAuthenticated, isLoading, error } = useHandleSignInCallback();

  // Nothing happens on an address that is old, or from another tab: the SDK
  // finds no sign-in that was begun here.
  const [stalled, setStalled] = useState(false);
  useEffect(() => {
    if (isLoading) return;
    const timer = setTimeout(() => setStalled(true), 1500);
    return () => clearTimeout(timer);
  }, [isLoading]);

  if (isAuthenticated) return <Navigate to="/protected" replace />;
  if (!error && !stalled) {
    return (
      <>
        <Heading title="Signing you in…" />
        <p className="quiet spinner">One moment.</p>
      </>
    );
  }
  return (
    <>
      <Heading title="You are not signed in" />
      <p className="answer bad" role="alert">
        {error ? `The sign-in gave no result: ${reason(error)}` : 'No sign-in was begun in this tab.'}
      </p>
      <SignInButton label="Try again" />
    </>
  );
}

// What the sign-in itself gave as its reason says more than the SDK's text.
function reason(error: Error): string {
  if (error instanceof LogtoError && error.data instanceof OidcError) return error.data.errorDescription ?? error.data.error;
  return error.message;
}
